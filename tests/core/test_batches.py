"""Atomic batches: all of their commands or none, each seeing what those before it did (G5)."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import ChannelCreated, ChannelHeadGuard
from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import ConfigSet, ConfigVersionGuard, ConfigWrite, SetConfigRequest
from gapless.v1.guards_pb2 import Guard
from gapless.v1.memberships_pb2 import JoinChannelRequest, MemberJoined
from gapless.v1.messages_pb2 import MessagePosted, PostMessageRequest
from gapless.v1.threads_pb2 import ReplyPosted
from gapless_server.core.batches import BATCH_COMMANDS_MAX, ENTRY_BYTES_MAX
from gapless_server.core.kernel import Context, Decision, Kernel, Kind
from gapless_server.core.kinds import KINDS
from gapless_server.core.refusals import Refused
from tests.core import pool_commands as pools
from tests.core.batch_commands import batch, member
from tests.core.chat_commands import (
    ANN,
    BOB,
    GENERAL,
    archive,
    channel,
    channel_of,
    join,
    post,
    reply,
)
from tests.core.story import Story

HEAD_IS_1 = Guard(channel_head=ChannelHeadGuard(channel_id=GENERAL, head_sequence=1))


def set_key(key: str, value: str = "1") -> SetConfigRequest:
    return SetConfigRequest(writes=[ConfigWrite(key=key, body=Body(data=value.encode()))])


def test_each_command_sees_what_those_before_it_did() -> None:
    story = Story()

    answer = story.when(
        batch(channel(), post("m"), reply("r", parent_id="m"), join(ANN), set_key("k"))
    )

    fields = [result.WhichOneof("result") for result in answer.results]
    assert fields == ["create_channel", "post_message", "post_reply", "join_channel", "set_config"]
    assert answer.results[1].post_message.sequence == 1
    assert answer.results[2].post_reply.thread_sequence == 1
    assert [type(event) for event in story.then_events()] == [
        ChannelCreated,
        MessagePosted,
        ReplyPosted,
        MemberJoined,
        ConfigSet,
    ]
    assert len(story.entries) == 1
    story.assert_sound()


def test_a_batch_says_of_each_command_whether_it_changed_something() -> None:
    story = Story().given(channel(), join(ANN))

    answer = story.when(batch(join(ANN), join(BOB), channel()))

    assert list(answer.changed) == [False, True, False]
    assert not answer.HasField("receipt")
    assert not any(
        getattr(r, str(r.WhichOneof("result"))).HasField("receipt") for r in answer.results
    )


def test_a_batch_that_finds_all_as_asked_has_no_events() -> None:
    story = Story().given(channel(), join(ANN))

    story.when(batch(join(ANN), channel()))

    assert story.then_events() == []


def test_ids_that_the_service_makes_differ_within_a_batch() -> None:
    story = Story().given(channel())

    answer = story.when(batch(post(), post(), channel(""), post()))

    made = [answer.results[index].post_message.message_id for index in (0, 1, 3)]
    made.append(answer.results[2].create_channel.channel.channel_id)
    assert len(set(made)) == 4


def test_c2_a_refused_command_takes_the_whole_batch_with_it() -> None:
    story = Story().given(channel(), channel("closed"), archive("closed"))

    refusal = story.then_refused(
        batch(post(), set_key("k"), post(channel_id="closed"), post(), join(ANN)),
        "CHANNEL_ARCHIVED",
    )

    assert refusal.row.code == 9
    assert refusal.metadata == {
        "channel_id": "closed",
        "batch_index": "2",
        "batch_not_tried": "2",
    }
    assert str(refusal) == (
        "commands[2].post_message is refused, so nothing of the batch was done, and the 2 commands"
        " after it were not tried: channel closed is archived and takes no new messages"
    )
    assert channel_of(story).head_sequence == 0
    assert story.when(post()).sequence == 1


def test_a_rule_that_only_a_decider_knows_names_the_field_of_the_member() -> None:
    twice = SetConfigRequest(writes=[ConfigWrite(key="k", body=Body())] * 2)

    refusal = Story().then_refused(batch(channel(), twice), "INVALID_FIELD")

    assert [fault.field for fault in refusal.faults] == ["commands[1].set_config.writes[1].key"]
    assert refusal.metadata["field"] == "commands[1].set_config.writes[1].key"
    assert refusal.metadata["batch_index"] == "1"


@pytest.mark.parametrize(
    ("commands", "field"),
    [
        ([], "commands"),
        ([Command()], "commands[0]"),
        ([member(post()), Command.FromString(b"\xfa\x7f\x00")], "commands[1]"),
        ([Command(execute_batch=batch(post()))], "commands[0].execute_batch"),
        ([member(post(sender_id=""))], "commands[0].post_message.sender_id"),
        (
            [
                member(post()),
                member(JoinChannelRequest(request_id="r", channel_id="c", user_id="u")),
            ],
            "commands[1].join_channel.request_id",
        ),
        ([member(post(), [Guard()])], "commands[0].guards[0]"),
        (
            [member(post(), [Guard(config_version=ConfigVersionGuard(version=-1, key="k"))])],
            "commands[0].guards[0].config_version.version",
        ),
    ],
)
def test_a_bad_member_is_named_by_its_field(commands: list[Command], field: str) -> None:
    story = Story().given(channel())

    refusal = story.then_refused(ExecuteBatchRequest(commands=commands), "INVALID_FIELD")

    assert [fault.field for fault in refusal.faults] == [field]


@pytest.mark.parametrize(
    "bad",
    [
        member(post(sender_id="")),
        member(post(), [Guard()]),
        Command(),
        Command(execute_batch=batch(post())),
    ],
)
def test_a_batch_says_which_command_breaks_a_rule_and_how_many_came_after_it(bad: Command) -> None:
    refusal = Story().then_refused(batch(member(post()), bad, bad, member(post())), "INVALID_FIELD")

    assert refusal.metadata["field"] == refusal.faults[0].field
    assert refusal.metadata["batch_index"] == "1"
    assert refusal.metadata["batch_not_tried"] == "2"
    assert str(refusal).startswith(
        "commands[1] is refused, so nothing of the batch was done, and the 2 commands after it"
        " were not tried: commands[1]"
    )


def test_field_rules_of_all_commands_are_checked_before_the_first_is_decided() -> None:
    refusal = Story().then_refused(
        batch(post(channel_id="nowhere"), post(sender_id="")), "INVALID_FIELD"
    )

    assert refusal.metadata["batch_index"] == "1"


def test_a_rule_that_the_batch_itself_breaks_names_no_command() -> None:
    refusal = Story().then_refused(batch(post(), guards=[Guard()]), "INVALID_FIELD")

    assert "batch_index" not in refusal.metadata


def test_a_batch_needs_a_request_id_of_its_own() -> None:
    with pytest.raises(Refused) as caught:
        Story().typed(batch(channel()), request_id="")

    assert [fault.field for fault in caught.value.faults] == ["request_id"]


def test_a_batch_holds_so_many_commands_and_no_more() -> None:
    story = Story().given(channel())

    answer = story.when(batch(*[post()] * BATCH_COMMANDS_MAX))
    refusal = story.then_refused(batch(*[post()] * (BATCH_COMMANDS_MAX + 1)), "BATCH_TOO_LARGE")

    assert answer.results[-1].post_message.sequence == BATCH_COMMANDS_MAX
    assert refusal.row.code == 3
    assert refusal.metadata == {"commands": "1001", "commands_max": "1000"}


def test_guards_of_a_batch_are_checked_before_its_first_command() -> None:
    story = Story().given(channel(), post())

    assert len(story.when(batch(post(), guards=[HEAD_IS_1])).results) == 1

    refusal = story.then_refused(batch(post(), guards=[HEAD_IS_1]), "GUARD_FAILED")
    assert refusal.metadata["found"] == "head sequence 2"
    assert "batch_index" not in refusal.metadata


def test_guards_of_a_member_are_checked_right_before_it() -> None:
    story = Story().given(channel())

    story.when(batch(post(), member(post(), [HEAD_IS_1])))

    refusal = story.then_refused(batch(post(), member(post(), [HEAD_IS_1])), "GUARD_FAILED")
    assert refusal.metadata["batch_index"] == "1"
    assert refusal.metadata["found"] == "head sequence 3"


def test_a_batch_has_its_guards_in_itself_only() -> None:
    story = Story().given(channel(), post())

    refusal = story.then_refused(batch(post()), "INVALID_FIELD", guards=[HEAD_IS_1])

    assert [fault.field for fault in refusal.faults] == ["guards"]


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        (batch(post("m")), batch(post("m")), []),
        (batch(post("m")), post("m"), ["command"]),
        (post("m"), batch(post("m")), ["command"]),
        (batch(post("m")), batch(post("n")), ["commands[0].post_message.message_id"]),
        (
            batch(post("m"), post("n")),
            batch(post("n"), post("m", sender_id=BOB)),
            [
                "commands[0].post_message.message_id",
                "commands[1].post_message.sender_id",
                "commands[1].post_message.message_id",
            ],
        ),
        (batch(post("m")), batch(post("m"), post("n")), ["commands[1]"]),
        (batch(post("m"), post("n")), batch(post("m")), ["commands[1]"]),
        (batch(channel(), post("m")), batch(post("m"), channel()), ["commands[0]", "commands[1]"]),
        (batch(post("m")), batch(post("m"), guards=[HEAD_IS_1]), ["guards"]),
        (
            batch(post("m")),
            batch(member(post("m"), [HEAD_IS_1])),
            ["commands[0].guards"],
        ),
    ],
)
def test_g3_what_differs_from_an_earlier_batch_is_named(
    old: Message, new: Message, fields: list[str]
) -> None:
    story = Story()

    assert story.typed(new).differing_fields(story.typed(old).fingerprint()) == fields


def test_a_fault_in_one_member_leaves_nothing_of_the_batch() -> None:
    """Deciding a batch changes nothing, also where a decider fails in its midst."""

    def fails(*_arguments: object) -> Decision:
        raise ZeroDivisionError

    story = Story().given(channel())
    kernel = Kernel([*KINDS, Kind("broken", commands={PostMessageRequest: fails})])
    broken = Command(execute_batch=batch(set_key("k"), post()))
    broken.execute_batch.request_id = "r"
    before = story.state.digest()

    with pytest.raises(ZeroDivisionError):
        kernel.typed(broken).decide(story.state, Context(story.moment, "", "made-"))

    assert story.state.digest() == before
    assert story.when(batch(post())).results[0].post_message.sequence == 1


@pytest.mark.parametrize("grown", ["events", "results"])
def test_g6_a_batch_that_leads_to_more_than_an_entry_may_hold_is_refused_and_leaves_nothing(
    grown: str,
) -> None:
    """A member of a few bytes asks for 1,000 numbers, or is answered with those it has."""
    story = Story().given(pools.create((10**12, 2 * 10**12)))
    asking = [pools.reserve_group(f"k{index}", 1000) for index in range(600)]
    if grown == "results":
        story.given(asking[0])
        asking = [asking[0]] * len(asking)

    refused = story.then_refused(batch(*asking), "BATCH_LEADS_TO_TOO_MUCH")

    assert 0 < int(refused.metadata["batch_index"]) < 600
    assert refused.metadata["bytes_max"] == str(ENTRY_BYTES_MAX)
    story.assert_sound()
