"""What watches are sent of a round: what the filter gives, made once for all who want it."""

from __future__ import annotations

from gapless.v1.channels_pb2 import ChannelArchived, ChannelCreated
from gapless.v1.events_pb2 import Entries, Entry, Event, EventFilter
from gapless_server.journal.port import Round
from gapless_server.rpc.filters import SHARED_FILTERS_MAX, SLICE_BYTES, SLICE_ENTRIES, Filter
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.feed import CommittedRound, Slice


def _round() -> CommittedRound:
    """Three entries: of channel a, of channel b, and of a command that changed nothing."""
    created = Event(channel_created=ChannelCreated(channel_id="a"))
    archived = Event(channel_archived=ChannelArchived(channel_id="b"))
    entries = [
        StoredEntry(entry=Entry(position=5, events=[created])),
        StoredEntry(entry=Entry(position=6, events=[archived])),
        StoredEntry(entry=Entry(position=7)),
    ]
    data = StoredRound(entries=entries).SerializeToString()
    return CommittedRound(Round(5, 7, data, b""))


def _positions(some: Slice) -> list[int]:
    return [entry.position for entry in Entries.FromString(some.data).entries]


def _shown(committed: CommittedRound, start: int = 0, **wanted: list[str]) -> Slice:
    return Filter(EventFilter(**wanted)).slice(committed, start)


def test_g1_without_a_filter_every_entry_is_given_also_one_without_events() -> None:
    assert _positions(_shown(_round())) == [5, 6, 7]


def test_a_filter_leaves_entries_out_and_has_passed_them() -> None:
    some = _shown(_round(), channel_ids=["b"])

    assert _positions(some) == [6]
    assert (some.start, some.end) == (0, 3)


def test_who_wants_the_same_shares_what_another_made() -> None:
    committed = _round()
    for wanted in ({}, {"channel_ids": ["b"]}):
        first = _shown(committed, **wanted)

        assert _shown(committed, **wanted) is first


def test_who_begins_in_the_middle_of_what_another_made_is_given_the_rest_of_it() -> None:
    committed = _round()
    _shown(committed)

    some = _shown(committed, 1)

    assert _positions(some) == [6, 7]
    assert (some.start, some.end) == (1, 3)


def test_who_wants_something_else_is_not_shown_what_another_made() -> None:
    committed = _round()
    _shown(committed, channel_ids=["a"])

    assert _positions(_shown(committed, channel_ids=["b"])) == [6]


def test_a_round_has_nothing_after_its_last_entry() -> None:
    committed = _round()

    for _turn in ("before anybody made a slice", "after it"):
        for start in (3, 4):
            some = _shown(committed, start)
            assert (some.start, some.end, some.data) == (start, start, b"")
        _shown(committed)


def test_a_late_reader_may_be_the_first() -> None:
    committed = _round()

    assert _positions(_shown(committed, 1)) == [6, 7]
    assert _positions(_shown(committed)) == [5, 6, 7]


def test_a_long_round_is_made_ready_slice_by_slice_wherever_readers_begin() -> None:
    entries = [StoredEntry(entry=Entry(position=number)) for number in range(1, 1001)]
    data = StoredRound(entries=entries).SerializeToString()
    committed = CommittedRound(Round(1, 1000, data, b""))

    for begin in (0, 150, 990, 150, 500):
        found: list[int] = []
        while begin + len(found) < len(entries):
            some = _positions(_shown(committed, begin + len(found)))
            assert 0 < len(some) <= SLICE_ENTRIES
            found += some
        assert found == list(range(begin + 1, 1001))


def test_g7_a_round_keeps_what_few_different_filters_show_of_it() -> None:
    committed = _round()

    for number in range(2 * SHARED_FILTERS_MAX):
        assert _positions(_shown(committed, channel_ids=[f"{number}", "b"])) == [6]

    assert len(committed.shown) == SHARED_FILTERS_MAX


def test_g7_a_slice_ends_with_the_entry_that_makes_it_large() -> None:
    large = Event(channel_created=ChannelCreated(channel_id="a", title="x" * SLICE_BYTES))
    entries = [StoredEntry(entry=Entry(position=number, events=[large])) for number in (1, 2)]
    data = StoredRound(entries=entries).SerializeToString()

    assert _positions(_shown(CommittedRound(Round(1, 2, data, b"")))) == [1]
