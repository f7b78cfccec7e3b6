"""Guards: what must be so for a command to be run at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import ChannelHeadGuard
from gapless.v1.commands_pb2 import Command
from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import ConfigVersionGuard, ConfigWrite, SetConfigRequest
from gapless.v1.guards_pb2 import Guard
from gapless.v1.ledgers_pb2 import (
    AccountBalanceGuard,
    CreateAccountRequest,
    TransferLeg,
    TransferRequest,
)
from gapless.v1.lists_pb2 import CreateListRequest, ListVersionGuard
from gapless.v1.memberships_pb2 import MembershipGuard
from gapless_server.core.guards import GUARDS_MAX
from gapless_server.core.refusals import Refused
from tests.core.chat_commands import ANN, BOB, GENERAL, channel, join, post
from tests.core.story import Story

new_guard: Callable[..., Guard] = Guard


def guard(message: Message) -> Guard:
    """Returns a typed guard with the union around it."""
    [field] = [
        field.name for field in Guard.DESCRIPTOR.fields if field.message_type is message.DESCRIPTOR
    ]
    return new_guard(**{field: message})


def a_world() -> Story:
    """A channel with two messages and a member, an account with 7, a key and a list."""
    return Story().given(
        channel(),
        post(),
        post(),
        join(ANN),
        CreateAccountRequest(account_id="bank", unit="point"),
        CreateAccountRequest(account_id="purse", unit="point"),
        TransferRequest(
            legs=[
                TransferLeg(account_id="bank", amount=-7),
                TransferLeg(account_id="purse", amount=7),
            ]
        ),
        SetConfigRequest(writes=[ConfigWrite(key="rate", body=Body(data=b"1"))]),
        SetConfigRequest(writes=[ConfigWrite(key="rate", body=Body(data=b"2"))]),
        CreateListRequest(list_id="deck"),
    )


@pytest.mark.parametrize(
    "held",
    [
        ChannelHeadGuard(channel_id=GENERAL, head_sequence=2),
        MembershipGuard(channel_id=GENERAL, user_id=ANN),
        AccountBalanceGuard(account_id="purse", balance_min=7),
        AccountBalanceGuard(account_id="purse", balance_min=-1),
        ConfigVersionGuard(key="rate", version=2),
        ConfigVersionGuard(key="nothing", version=0),
        ListVersionGuard(list_id="deck", version=1),
        ListVersionGuard(list_id="nothing", version=0),
    ],
    ids=lambda message: str(message).strip().replace("\n", " "),
)
def test_a_command_is_run_if_its_guard_holds(held: Message) -> None:
    story = a_world()

    answer = story.when(post("m"), guards=[guard(held)])

    assert answer.sequence == 3


@pytest.mark.parametrize(
    ("unmet", "guard_type", "subject", "expected", "found"),
    [
        (
            ChannelHeadGuard(channel_id=GENERAL, head_sequence=1),
            "channel_head",
            "channel general",
            "head sequence 1",
            "head sequence 2",
        ),
        (
            ChannelHeadGuard(channel_id="nowhere", head_sequence=0),
            "channel_head",
            "channel nowhere",
            "head sequence 0",
            "no such channel",
        ),
        (
            MembershipGuard(channel_id=GENERAL, user_id=BOB),
            "membership",
            "channel general",
            "user bob as a member",
            "no member",
        ),
        (
            AccountBalanceGuard(account_id="purse", balance_min=8),
            "account_balance",
            "account purse",
            "a balance of at least 8",
            "7",
        ),
        (
            AccountBalanceGuard(account_id="nobody", balance_min=0),
            "account_balance",
            "account nobody",
            "a balance of at least 0",
            "no such account",
        ),
        (
            ConfigVersionGuard(key="rate", version=1),
            "config_version",
            "config key rate",
            "version 1",
            "version 2",
        ),
        (
            ListVersionGuard(list_id="deck", version=0),
            "list_version",
            "list deck",
            "version 0",
            "version 1",
        ),
    ],
)
def test_a_command_is_refused_if_its_guard_does_not_hold(
    unmet: Message, guard_type: str, subject: str, expected: str, found: str
) -> None:
    story = a_world()
    holds = guard(ConfigVersionGuard(key="rate", version=2))

    refusal = story.then_refused(post(), "GUARD_FAILED", guards=[holds, guard(unmet)])

    assert refusal.row.code == 9
    assert refusal.metadata == {
        "guard_index": "1",
        "guard_type": guard_type,
        "subject": subject,
        "expected": expected,
        "found": found,
    }


def test_the_first_guard_that_does_not_hold_is_named() -> None:
    story = a_world()
    unmet = [ListVersionGuard(list_id=list_id, version=9) for list_id in ("first", "second")]

    refusal = story.then_refused(post(), "GUARD_FAILED", guards=[guard(one) for one in unmet])

    assert (refusal.metadata["guard_index"], refusal.metadata["subject"]) == ("0", "list first")


def test_guards_come_before_what_the_command_itself_would_be_refused_for() -> None:
    story = a_world()
    unmet = guard(ConfigVersionGuard(key="rate", version=1))

    story.then_refused(post(channel_id="nowhere"), "GUARD_FAILED", guards=[unmet])


@pytest.mark.parametrize(
    ("guards", "field"),
    [
        ([Guard()], "guards[0]"),
        ([Guard.FromString(b"\xfa\x7f\x00")], "guards[0]"),
        ([guard(ListVersionGuard(list_id="deck", version=1)), Guard()], "guards[1]"),
        ([guard(ListVersionGuard(version=1))], "guards[0].list_version.list_id"),
        ([guard(ListVersionGuard(list_id="deck", version=-1))], "guards[0].list_version.version"),
        ([guard(MembershipGuard(channel_id=GENERAL))], "guards[0].membership.user_id"),
        ([guard(ListVersionGuard(list_id="deck"))] * (GUARDS_MAX + 1), "guards"),
    ],
)
def test_a_bad_guard_is_named_by_its_field(guards: list[Guard], field: str) -> None:
    refusal = a_world().then_refused(post(), "INVALID_FIELD", guards=guards)

    assert [fault.field for fault in refusal.faults] == [field]


def test_so_many_guards_are_taken() -> None:
    guards = [guard(ListVersionGuard(list_id="deck", version=1))] * GUARDS_MAX

    assert a_world().when(post(), guards=guards).sequence == 3


def differing(old: list[Message], new: list[Message]) -> list[str]:
    """Returns how a command with guards differs from the same one with others."""
    story = Story()
    commands = [story.typed(post("m"), [guard(one) for one in messages]) for messages in (old, new)]
    return commands[1].differing_fields(commands[0].fingerprint())


def test_g3_guards_are_part_of_what_a_command_said() -> None:
    list_guard = ListVersionGuard(list_id="a", version=1)
    # Of the same bytes, and yet another guard.
    config_guard = ConfigVersionGuard(key="a", version=1)

    assert differing([list_guard], [list_guard]) == []
    assert differing([], [list_guard]) == ["guards"]
    assert differing([list_guard], []) == ["guards"]
    assert differing([list_guard], [config_guard]) == ["guards"]
    assert differing([list_guard], [list_guard, list_guard]) == ["guards"]
    assert differing([list_guard, config_guard], [config_guard, list_guard]) == ["guards"]


def test_every_guard_of_the_contract_is_checked_by_some_kind() -> None:
    story = Story()
    for field in Guard.DESCRIPTOR.oneofs_by_name["guard"].fields:
        set_but_empty = Guard()
        getattr(set_but_empty, field.name).SetInParent()

        with pytest.raises(Refused) as caught:
            story.typed(post(), [set_but_empty])

        assert caught.value.faults[0].field.startswith(f"guards[0].{field.name}."), Command
