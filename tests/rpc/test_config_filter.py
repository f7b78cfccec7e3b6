"""A reader of the log may ask for the changes of configuration keys by what they begin with."""

from __future__ import annotations

import pytest

from gapless.v1.channels_pb2 import ChannelCreated
from gapless.v1.config_pb2 import ConfigDeleted, ConfigSet
from gapless.v1.events_pb2 import Entry, Event, EventFilter
from gapless.v1.lists_pb2 import ListItemResultRecorded
from gapless_server.rpc.filters import Filter
from gapless_server.storage.v1.storage_pb2 import StoredEntry

# One entry with several kinds of events, some of which have a field `key` of another meaning.
EVENTS = [
    Event(config_set=ConfigSet(key="billing/eu/rate", version=1)),
    Event(config_set=ConfigSet(key="billing2", version=1)),
    Event(config_deleted=ConfigDeleted(key="billing/us/rate", version=2)),
    Event(list_item_result_recorded=ListItemResultRecorded(key="billing/eu/rate")),
    Event(channel_created=ChannelCreated(channel_id="billing/")),
]


def wanted_of(event_filter: EventFilter) -> list[int]:
    """Returns which of the events a filter lets through, by their index."""
    entries = Filter(event_filter).apply([StoredEntry(entry=Entry(position=1, events=EVENTS))])
    return [EVENTS.index(event) for entry in entries for event in entry.events]


@pytest.mark.parametrize(
    ("prefixes", "wanted"),
    [
        (["billing/"], [0, 2]),
        (["billing"], [0, 1, 2]),
        (["billing/us", "billing2"], [1, 2]),
        (["b", "billing/"], [0, 1, 2]),
        (["c"], []),
    ],
)
def test_only_changes_of_keys_that_begin_with_a_prefix(
    prefixes: list[str], wanted: list[int]
) -> None:
    assert wanted_of(EventFilter(config_key_prefixes=prefixes)) == wanted


def test_all_conditions_have_to_hold() -> None:
    prefixes = ["billing/"]

    by_type = EventFilter(config_key_prefixes=prefixes, event_types=["config_deleted"])
    by_channel = EventFilter(config_key_prefixes=prefixes, channel_ids=["billing/"])

    assert wanted_of(by_type) == [2]
    assert wanted_of(by_channel) == []
