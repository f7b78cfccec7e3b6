"""What a line of Slack's says, and how a line that says nothing sensible is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gapless_server.slack.events import (
    BadEvents,
    Deleted,
    Edited,
    MembershipChanged,
    Posted,
    Reacted,
    SlackEvent,
    ThreadReported,
    event_files,
    parse_event,
    read_lines,
)
from tests.slack.lines import deletion, edit, line, message, report


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (message("1.1"), [Posted("C1", "1.1", "U1", "text 1.1")]),
        (
            message("1.2", client_msg_id="id", thread_ts="1.1"),
            [Posted("C1", "1.2", "U1", "text 1.2", "1.1", "id")],
        ),
        # A parent carries its own ts as thread_ts once it has replies.
        (message("1.1", thread_ts="1.1"), [Posted("C1", "1.1", "U1", "text 1.1")]),
        (
            line("1.3", subtype="bot_message", bot_id="B1", text="beep"),
            [Posted("C1", "1.3", "B1", "beep", subtype="bot_message")],
        ),
        (
            line("1.3", subtype="channel_topic"),
            [Posted("C1", "1.3", "slack", "", subtype="channel_topic")],
        ),
        (edit("1.4", of="1.1"), [Edited("C1", "1.4", "1.1", "edited")]),
        (deletion("1.5", of="1.1"), [Deleted("C1", "1.5", "1.1")]),
        (
            line("1.6", subtype="channel_join", user="U2"),
            [MembershipChanged("C1", "1.6", "U2", True)],
        ),
        (
            line("1.7", subtype="channel_leave", user="U2"),
            [MembershipChanged("C1", "1.7", "U2", False)],
        ),
        (report("1.8", "1.1", ["1.2"]), [ThreadReported("C1", "1.1", 1, ("1.2",))]),
        (json.dumps({"type": "user_typing", "channel": "C1", "user": "U1"}), []),
    ],
)
def test_a_line_says_what_slack_means_by_it(text: str, said: list[SlackEvent]) -> None:
    assert parse_event(text) == said


def test_after_a_deleted_reply_slack_reports_the_thread_in_an_edit_of_its_parent() -> None:
    text = edit("1.9", of="1.1", reply_count=1, replies=[{"user": "U1", "ts": "1.2"}])

    said = parse_event(text)

    assert said == [Edited("C1", "1.9", "1.1", "edited"), ThreadReported("C1", "1.1", 1, ("1.2",))]


@pytest.mark.parametrize("added", [True, False])
def test_a_reaction_is_about_the_message_of_its_item(added: bool) -> None:
    reaction = {
        "type": "reaction_added" if added else "reaction_removed",
        "user": "U1",
        "reaction": "tada",
        "item": {"type": "message", "channel": "C1", "ts": "1.1"},
        "event_ts": "1.2",
    }

    assert parse_event(json.dumps(reaction)) == [Reacted("C1", "1.2", "1.1", "U1", "tada", added)]


def test_a_reaction_to_a_file_is_not_replayed() -> None:
    reaction = {"type": "reaction_added", "item": {"type": "file", "file": "F1"}}

    assert parse_event(json.dumps(reaction)) == []


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    text = '{"type": "message", "channel": "C1", "ts": "1.1", "user": "U1", "text": "a\\ud83d"}'

    assert parse_event(text) == [Posted("C1", "1.1", "U1", "a?")]


def test_what_slack_leaves_empty_is_not_there() -> None:
    said = parse_event(message("1.1", thread_ts=None, client_msg_id=None, subtype=None))

    assert said == [Posted("C1", "1.1", "U1", "text 1.1")]


def test_the_files_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("2018-02-02.jsonl", "2018-02-01.jsonl", "README.md"):
        (tmp_path / name).write_text("")

    files = event_files([tmp_path])

    assert [path.name for path in files] == ["2018-02-01.jsonl", "2018-02-02.jsonl"]


def test_a_folder_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadEvents, match=r"holds no file that ends in \.jsonl"):
        event_files([tmp_path])


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "not a JSON object"),
        ("[]", "not an event of Slack's"),
        ('{"type": "message", "ts": "1.1"}', "KeyError('channel')"),
        (
            '{"type": "message", "channel": "C1", "ts": "1", "subtype": "message_changed"}',
            "message",
        ),
        (message("1.2", channel=5), "channel is 5, expected a text"),
        (message("1.2", user={"id": "U1"}), "sender is {'id': 'U1'}, expected a text"),
        (message("1.2", text=["a"]), "not an event of Slack's"),
        (message("1.2", user="a\ud83d"), "surrogates not allowed"),
        (edit("1.2", of="1.\ud83d"), "surrogates not allowed"),
        (report("1.2", "1.1", [["1.3"]]), "reply_ts is ['1.3'], expected a text"),
        (report("1.2", "1.1", [], count="many"), "not an event of Slack's"),
        (report("1.2", "1.1", [], count=float("inf")), "not an event of Slack's"),
        (report("1.2", "1.1", [], count="9" * 5000), "not an event of Slack's"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_a_bad_line_is_refused_with_its_file_and_number(tmp_path: Path, bad: str, why: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{message('1.1')}\n\n{bad}\n")

    with pytest.raises(BadEvents) as refused:
        list(read_lines([path]))

    assert str(refused.value).startswith(f"{path}, line 3: ")
    assert why in str(refused.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(BadEvents, match="cannot read"):
        list(read_lines([path]))
