"""Every kind of wrong outcome is found when the service's contents are held against the plan."""

from __future__ import annotations

from gapless.v1.messages_pb2 import Message, ThreadSummary
from gapless_server.slack.plan import CLIENT_MSG_ID, Plan, make_plan
from gapless_server.slack.replay import Acknowledged
from gapless_server.slack.report import Contents, Findings, compare
from tests.slack.lines import events, message, report


def _plan() -> Plan:
    """Two messages, the first with two replies, of which Slack knows."""
    return make_plan(
        events(
            message("1.1", client_msg_id="a"),
            message("1.2", client_msg_id="b"),
            message("1.3", client_msg_id="c", thread_ts="1.1"),
            message("1.4", client_msg_id="d", thread_ts="1.1"),
            report("1.5", "1.1", ["1.3", "1.4"]),
        )
    )


def _contents() -> Contents:
    """What a service has that did everything right."""
    thread = ThreadSummary(head_sequence=2, reply_count=2)
    return Contents(
        first_sequence=1,
        head_sequence=2,
        messages=[
            _message("1.1", "a", sequence=1, thread=thread),
            _message("1.2", "b", sequence=2),
        ],
        replies={
            "1.1": [
                _message("1.3", "c", parent_message_id="1.1", thread_sequence=1),
                _message("1.4", "d", parent_message_id="1.1", thread_sequence=2),
            ]
        },
    )


def _message(message_id: str, client_msg_id: str, **fields: object) -> Message:
    attributes = {CLIENT_MSG_ID: client_msg_id}
    return Message(message_id=message_id, attributes=attributes, **fields)  # type: ignore[arg-type]


def _found(contents: Contents, *acknowledged: Acknowledged) -> Findings:
    return compare(_plan(), {"C1": contents}, acknowledged)


def test_nothing_is_found_where_all_is_right() -> None:
    findings = _found(_contents(), Acknowledged("C1", "1.2", 2, 0), Acknowledged("C1", "1.4", 0, 2))

    assert findings.breaches() == []
    assert (findings.messages, findings.threads, findings.thread_counts_equal) == (4, 1, 1)


def test_g1_a_sequence_that_is_missing_in_a_channel_is_found() -> None:
    contents = _contents()
    del contents.messages[1]

    assert _found(contents).gaps == [
        "channel C1: expected the sequences 1 to 2 in order, found 1; missing are [2]"
    ]


def test_g1_a_sequence_that_is_missing_in_a_thread_is_found() -> None:
    contents = _contents()
    del contents.replies["1.1"][1]

    assert _found(contents).gaps == [
        "thread 1.1 of channel C1: expected the sequences 1 to 2 in order, found 1; missing are [2]"
    ]


def test_g3_a_client_msg_id_that_is_there_twice_is_found() -> None:
    contents = _contents()
    contents.replies["1.1"][0].attributes[CLIENT_MSG_ID] = "b"

    assert _found(contents).duplicates == ["client_msg_id b is there 2 times"]


def test_g2_an_acknowledged_message_that_is_gone_or_elsewhere_is_found() -> None:
    lost = _found(
        _contents(), Acknowledged("C1", "1.9", 3, 0), Acknowledged("C1", "1.2", 1, 0)
    ).lost

    assert lost == [
        "message 1.9 of channel C1 was acknowledged with sequence 3 and thread sequence 0,"
        " and is not there",
        "message 1.2 of channel C1 was acknowledged with sequence 1 and thread sequence 0,"
        " and is (2, 0)",
    ]


def test_g4_messages_that_changed_places_are_found() -> None:
    contents = _contents()
    contents.messages[0].sequence, contents.messages[1].sequence = 2, 1

    assert _found(contents).out_of_order == [
        "message 1.2 of channel C1 has sequence 1, and one before it in the events has a larger one"
    ]


def test_a_count_of_replies_that_is_not_slacks_is_found() -> None:
    contents = _contents()
    contents.messages[0].thread.reply_count = 3

    assert _found(contents).thread_counts_wrong == [
        "thread 1.1 of channel C1: Slack last reported 2 replies, the service counts 3"
    ]
