"""Audits: what is recounted of every log, and that a sound log has no breach."""

from __future__ import annotations

from gapless.v1.channels_pb2 import ChannelUpdated
from gapless.v1.events_pb2 import Entry, Event
from gapless_server.core.audit import BREACHES_MAX, Auditor
from gapless_server.core.times import to_timestamp
from tests.core.chat_commands import (
    ANN,
    BOB,
    ROOT,
    add,
    archive,
    channel,
    delete,
    edit,
    join,
    leave,
    mark,
    post,
    reply,
    toggle,
)
from tests.core.story import KERNEL, Story, forged, union_of


def entry(position: int, time_us: int = 1, request_id: str = "") -> Entry:
    return Entry(position=position, commit_time=to_timestamp(time_us), request_id=request_id)


def breaches(*entries: Entry, callers: str = "") -> list[str]:
    """Audits entries; `callers` has a letter for the caller of each, or is empty."""
    audit = KERNEL.new_audit()
    for index, one in enumerate(entries):
        audit.observe(one, callers[index : index + 1], uptime_us=0)
    return audit.breaches()


def test_an_empty_log_is_sound() -> None:
    assert breaches() == []


def test_a_log_that_the_deciders_wrote_is_sound() -> None:
    story = Story().given(channel(), channel(), channel("late", first_sequence=100))
    story.given(post(ROOT), post("m"), edit("m"), reply("r", show_in_channel=True), reply("s"))
    story.given(add(ANN), add(ANN), toggle(BOB), toggle(BOB), mark(2), mark(1), mark(99))
    story.given(join(), join(), leave(), leave(), join(), delete("r"), delete("r"))
    story.given(post(channel_id="late"), mark(100, channel_id="late"), archive(), archive())

    story.assert_sound()


def test_g1_a_position_that_does_not_follow_is_a_breach() -> None:
    assert breaches(entry(1), entry(3), entry(3)) == [
        "position 3: follows position 1",
        "position 3: follows position 3",
    ]


def test_g1_a_log_begins_with_position_1() -> None:
    assert breaches(entry(2)) == ["position 2: follows position 0"]


def test_g11_a_commit_time_that_decreases_is_a_breach() -> None:
    assert breaches(entry(1, 5), entry(2, 5), entry(3, 4)) == [
        "position 3: was committed at 4 us, before position 2 at 5 us"
    ]


def test_g3_a_request_id_that_stands_twice_is_a_breach() -> None:
    entries = entry(1, request_id="r"), entry(2, request_id="s"), entry(3, request_id="r")

    assert breaches(*entries, callers="aaa") == [
        "position 3: request id 'r' of caller 'a' was already used at position 1"
    ]


def test_g3_two_callers_may_use_the_same_request_id() -> None:
    assert breaches(entry(1, request_id="r"), entry(2, request_id="r"), callers="ab") == []


def test_entries_of_the_service_itself_have_no_request_id() -> None:
    assert breaches(entry(1), entry(2)) == []


def test_an_event_of_a_newer_version_is_a_breach() -> None:
    unknown = entry(1)
    unknown.events.append(Event.FromString(b"\xfa\x3f\x00"))  # field 1023, empty

    assert breaches(unknown) == ["position 1: holds an event that this version does not know"]


def test_events_of_one_entry_are_observed_in_order() -> None:
    story = Story().given(channel(), join(), leave())
    joined, left = story.entries[1].events[0], story.entries[2].events[0]
    one = Entry(position=2, events=[joined, left, joined], commit_time=to_timestamp(2 * 10**15))

    assert breaches(story.entries[0], one) == []


def test_a_log_that_is_wrong_throughout_does_not_fill_the_memory() -> None:
    audit = KERNEL.new_audit()
    event = union_of(ChannelUpdated(channel_id="c"))
    for position in range(1, BREACHES_MAX + 100):
        audit.observe(Entry(position=position, events=[event]), "", uptime_us=0)

    assert len(audit.breaches()) == BREACHES_MAX


def test_every_chat_promise_has_its_auditor() -> None:
    names = {kind.name for kind in KERNEL.kinds if kind.auditors}

    assert names >= {
        "channels",
        "messages",
        "threads",
        "reactions",
        "memberships",
        "read_markers",
    }
    assert all(
        issubclass(auditor, Auditor)  # type: ignore[arg-type]  # a factory that is a class
        for kind in KERNEL.kinds
        for auditor in kind.auditors
    )


def test_each_audit_begins_anew() -> None:
    assert forged(ChannelUpdated(channel_id="c")) != []
    assert breaches() == []
