"""What watches are sent of a round: what the filter gives, made once for all who want all."""

from __future__ import annotations

from gapless.v1.channels_pb2 import ChannelArchived, ChannelCreated
from gapless.v1.events_pb2 import Entries, Entry, Event, EventFilter
from gapless_server.journal.port import Round
from gapless_server.rpc.filters import Filter
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.feed import CommittedRound


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


def _positions(parts: list[bytes]) -> list[list[int]]:
    return [[entry.position for entry in Entries.FromString(part).entries] for part in parts]


def test_g1_without_a_filter_every_entry_is_given_also_one_without_events() -> None:
    parts = list(Filter(EventFilter()).parts(_round(), 0))

    assert _positions(parts) == [[5], [6], [7]]


def test_a_filter_leaves_entries_empty() -> None:
    parts = list(Filter(EventFilter(channel_ids=["b"])).parts(_round(), 0))

    assert _positions(parts) == [[], [6], []]


def test_who_wants_everything_shares_what_another_made_and_begins_where_it_likes() -> None:
    committed = _round()
    first = list(Filter(EventFilter()).parts(committed, 0))

    second = list(Filter(EventFilter()).parts(committed, 1))

    assert all(one is other for one, other in zip(first[1:], second, strict=True))


def test_a_late_reader_may_be_the_first() -> None:
    committed = _round()

    assert _positions(list(Filter(EventFilter()).parts(committed, 1))) == [[6], [7]]
    assert _positions(list(Filter(EventFilter()).parts(committed, 0))) == [[5], [6], [7]]
