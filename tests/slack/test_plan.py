"""What Slack's events become: commands in order, with ids that are the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.messages_pb2 import EditMessageRequest, PostMessageRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from gapless_server.slack.events import event_files, read_lines
from gapless_server.slack.plan import CLIENT_MSG_ID, PLACEHOLDER, SUBTYPE, Plan, Request, make_plan
from tests.slack.lines import deletion, edit, events, line, message, report


def _plan(*lines: str) -> Plan:
    return make_plan(events(*lines))


def _commands(*lines: str) -> list[Request]:
    """What the lines become, without the creation of the channel, which is always first."""
    create, *others = _plan(*lines).commands["C1"]
    assert create == CreateChannelRequest(request_id="slack:C1", channel_id="C1")
    return others


def test_a_message_keeps_its_ts_as_its_id_and_its_client_msg_id_as_the_request_id() -> None:
    [command] = _commands(message("1.1", client_msg_id="chosen", subtype="me_message"))

    assert isinstance(command, PostMessageRequest)
    assert (command.request_id, command.message_id) == ("chosen", "1.1")
    assert dict(command.attributes) == {CLIENT_MSG_ID: "chosen", SUBTYPE: "me_message"}


def test_g3_without_a_client_msg_id_the_request_id_is_made_of_channel_and_ts() -> None:
    commands = _commands(
        message("1.1"),
        edit("1.2", of="1.1"),
        line("1.3", subtype="channel_join", user="U1"),
        line("1.4", subtype="channel_leave", user="U1"),
        deletion("1.5", of="1.1"),
    )

    ids = [f"slack:C1:1.{number}" for number in (1, 2, 3, 4, 5)]
    assert [command.request_id for command in commands] == ids


def test_a_reply_goes_to_its_parent_and_to_the_channel_only_if_it_was_broadcast() -> None:
    commands = _commands(
        message("1.1"),
        message("1.2", thread_ts="1.1"),
        message("1.3", thread_ts="1.1", subtype="thread_broadcast"),
    )

    replies = [command for command in commands if isinstance(command, PostReplyRequest)]
    assert [reply.parent_message_id for reply in replies] == ["1.1", "1.1"]
    assert [reply.show_in_channel for reply in replies] == [False, True]


def test_a_reply_whose_parent_is_not_there_gets_one_placeholder() -> None:
    plan = _plan(message("1.2", thread_ts="0.1"), message("1.3", thread_ts="0.1"))

    _create, placeholder, *replies = plan.commands["C1"]
    assert isinstance(placeholder, PostMessageRequest)
    assert (placeholder.message_id, placeholder.body.data) == ("0.1", b"")
    assert PLACEHOLDER in placeholder.attributes
    assert [type(reply) for reply in replies] == [PostReplyRequest, PostReplyRequest]
    assert plan.placeholders == 1


def test_an_edit_keeps_the_attributes_of_the_message() -> None:
    _post, command = _commands(message("1.1", client_msg_id="chosen"), edit("1.2", of="1.1"))

    assert isinstance(command, EditMessageRequest)
    assert dict(command.attributes) == {CLIENT_MSG_ID: "chosen"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([edit("1.2", of="0.1")], "edits of an unknown message"),
        ([deletion("1.2", of="0.1")], "deletions of an unknown message"),
        (
            [message("1.1"), deletion("1.2", of="1.1"), edit("1.3", of="1.1")],
            "edits of a deleted message",
        ),
        (
            [message("1.1"), deletion("1.2", of="1.1"), message("1.3", thread_ts="1.1")],
            "replies to a deleted message",
        ),
        ([message("1.1"), message("1.1")], "messages that came twice"),
        (
            [message("1.2", thread_ts="1.1"), message("1.1")],
            "messages that came after a reply to them",
        ),
    ],
)
def test_what_cannot_be_replayed_is_left_out_and_counted(lines: list[str], reason: str) -> None:
    assert dict(_plan(message("0.9"), *lines).left_out) == {reason: 1}


def test_a_report_is_no_command_and_says_what_the_count_must_be() -> None:
    plan = _plan(
        message("1.1"),
        message("1.2", thread_ts="1.1"),
        report("1.3", "1.1", ["1.2"]),
        message("1.4", thread_ts="1.1"),
        report("1.5", "1.1", ["1.2", "1.4"]),
    )

    assert plan.reply_counts == {("C1", "1.1"): 2}
    assert plan.command_count == 4  # the channel, the message and two replies


def test_a_thread_counts_only_if_parent_and_replies_are_all_there() -> None:
    plan = _plan(
        message("1.1"),
        report("1.2", "1.1", ["1.0"]),  # a reply from before the events
        message("1.3", thread_ts="0.1"),
        report("1.4", "0.1", ["1.3"]),  # a parent from before the events
    )

    assert plan.reply_counts == {}
    assert plan.threads_in_part == 2


def test_a_reply_that_was_reported_once_belongs_to_its_thread_for_good() -> None:
    plan = _plan(
        message("1.1"),
        report("1.2", "1.1", ["1.0"]),
        report("1.3", "1.1", []),  # it was deleted, and was never in the events
    )

    assert plan.threads_in_part == 1


def test_g10_the_same_events_give_the_same_commands() -> None:
    sample = Path(__file__).parent.parent.parent / "service/gapless_server/data"

    first, second = (
        make_plan(event for said in read_lines(event_files([sample])) for event in said)
        for _ in range(2)
    )

    assert first == second
    assert first.command_count > 3_000
