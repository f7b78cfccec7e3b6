"""Recounts who is in which channel."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import memberships_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


class MembershipAuditor(Auditor):
    """Recounts that a user's joins and leaves of a channel alternate, beginning with a join."""

    def __init__(self) -> None:
        super().__init__()
        self._members: set[tuple[str, str]] = set()

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case memberships_pb2.MemberJoined():
                member = (event.channel_id, event.user_id)
                if member in self._members:
                    self.breach(moment, f"{_named(member)} joins and is already a member")
                self._members.add(member)
            case memberships_pb2.MemberLeft():
                member = (event.channel_id, event.user_id)
                if member not in self._members:
                    self.breach(moment, f"{_named(member)} leaves and is not a member")
                self._members.discard(member)


def _named(member: tuple[str, str]) -> str:
    channel_id, user_id = member
    return f"user {user_id} of channel {channel_id}"
