"""Guards: what must be so for a command to be run.

Give them to ``client.with_guards`` or ``client.batch``. If one does not hold when the command's
turn comes, the command raises GuardFailed and does nothing; its ``metadata`` says which guard, what
it expected and what was found. A lock that is held (``client.locks.hold``) is a guard itself.
"""

from __future__ import annotations

from gapless.v1.channels_pb2 import ChannelHeadGuard
from gapless.v1.config_pb2 import ConfigVersionGuard
from gapless.v1.guards_pb2 import Guard
from gapless.v1.ledgers_pb2 import AccountBalanceGuard
from gapless.v1.lists_pb2 import ListVersionGuard
from gapless.v1.locks_pb2 import LockGuard
from gapless.v1.memberships_pb2 import MembershipGuard

__all__ = [
    "account_balance",
    "channel_head",
    "config_version",
    "list_version",
    "lock",
    "membership",
]


def channel_head(channel_id: str, head_sequence: int) -> Guard:
    """The newest message of the channel has this sequence; ``first_sequence - 1`` for none."""
    return Guard(channel_head=ChannelHeadGuard(channel_id=channel_id, head_sequence=head_sequence))


def membership(channel_id: str, user_id: str) -> Guard:
    """The user is a member of the channel."""
    return Guard(membership=MembershipGuard(channel_id=channel_id, user_id=user_id))


def account_balance(account_id: str, balance_min: int) -> Guard:
    """The account has at least this balance, in its unit."""
    return Guard(
        account_balance=AccountBalanceGuard(account_id=account_id, balance_min=balance_min)
    )


def config_version(key: str, version: int) -> Guard:
    """The key of the configuration is at this version; 0: it does not exist."""
    return Guard(config_version=ConfigVersionGuard(key=key, version=version))


def list_version(list_id: str, version: int) -> Guard:
    """The list is at this version; 0: it does not exist."""
    return Guard(list_version=ListVersionGuard(list_id=list_id, version=version))


def lock(lock_id: str, fencing_token: int) -> Guard:
    """The lock is held with this fencing token."""
    return Guard(lock=LockGuard(lock_id=lock_id, fencing_token=fencing_token))
