"""Filters: which events of a round a reader of the log gets to see, and never a secret."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gapless.v1 import options_pb2
from gapless.v1.events_pb2 import Entries, Entry, Event, EventFilter
from gapless_server.core.refusals import FieldFault, invalid_fields
from gapless_server.core.wire import bytes_tag, field
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from gapless_server.writer.feed import CommittedRound, Slice

_EVENT_FIELDS = {one.name: one for one in Event.DESCRIPTOR.oneofs_by_name["event"].fields}
_ENTRY = bytes_tag(Entries.ENTRIES_FIELD_NUMBER)


def _message_type(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None  # every member of the union is a message
    return field.message_type


def _secret_fields(descriptor: Descriptor) -> list[FieldDescriptor]:
    return [
        field
        for field in descriptor.fields
        if field.GetOptions().Extensions[options_pb2.rules].secret
    ]


# By type of event: the fields that nobody sees in a stream.
_SECRETS = {
    name: [field.name for field in secrets]
    for name, union_field in _EVENT_FIELDS.items()
    if (secrets := _secret_fields(_message_type(union_field)))
}
_WITH_CHANNEL = {
    name
    for name, field in _EVENT_FIELDS.items()
    if "channel_id" in _message_type(field).fields_by_name
}
# The changes of configuration; other events have a field `key` too, of another meaning.
_WITH_CONFIG_KEY = {"config_set", "config_deleted"}

# How much of a round is made ready for readers at a time: half a millisecond of work.
SLICE_ENTRIES = 100
SLICE_BYTES = 64 * 1024
# For so many different filters a round keeps what they show of it. Each may be as large as the
# round itself.
SHARED_FILTERS_MAX = 4

# Says whether an event, given by its type and its message, is wanted.
Condition = Callable[[str, Any], bool]


def without_secrets(event: Event) -> Event:
    """Returns the event as it may be shown."""
    name = event.WhichOneof("event")
    secrets = _SECRETS.get(name) if name is not None else None
    if name is None or not secrets:
        return event
    shown = Event()
    shown.CopyFrom(event)
    message: Message = getattr(shown, name)
    for name_of_secret in secrets:
        message.ClearField(name_of_secret)
    return shown


def _conditions(wanted: EventFilter) -> list[Condition]:
    """The conditions of a filter that all have to hold; none if every event is wanted."""
    conditions: list[Condition] = []
    if wanted.event_types:
        types = frozenset(wanted.event_types)
        conditions.append(lambda name, _message: name in types)
    if wanted.channel_ids:
        channels = frozenset(wanted.channel_ids)
        conditions.append(
            lambda name, message: name in _WITH_CHANNEL and message.channel_id in channels
        )
    if wanted.config_key_prefixes:
        prefixes = tuple(wanted.config_key_prefixes)
        conditions.append(
            lambda name, message: name in _WITH_CONFIG_KEY and message.key.startswith(prefixes)
        )
    return conditions


class Filter:
    """A compiled EventFilter."""

    def __init__(self, wanted: EventFilter) -> None:
        """Raises Refused, reason INVALID_FIELD, naming the unknown event types."""
        unknown = tuple(
            FieldFault(f"filter.event_types[{index}]", f"unknown event type {name!r:.140}")
            for index, name in enumerate(wanted.event_types)
            if name not in _EVENT_FIELDS
        )
        if unknown:
            raise invalid_fields(unknown)
        # What tells filters that want the same.
        self._key = wanted.SerializeToString(deterministic=True)
        self._conditions = _conditions(wanted)
        self._wants: Callable[[Event], bool] | None = self._matches if self._conditions else None

    def _matches(self, event: Event) -> bool:
        name: str | None = event.WhichOneof("event")
        if name is None:
            return False
        message = getattr(event, name)
        return all(condition(name, message) for condition in self._conditions)

    def apply(self, entries: Iterable[StoredEntry]) -> Iterator[Entry]:
        """Yields the entries with the events that are wanted.

        A filter leaves out an entry with none of them; who wants everything is given every entry,
        so that the positions have no hole.
        """
        for stored in entries:
            entry = stored.entry
            events = [event for event in entry.events if self._wants is None or self._wants(event)]
            if not events and self._conditions:
                continue
            shown = [without_secrets(event) for event in events]
            if len(events) == len(entry.events) and all(map(_same, shown, events)):
                yield entry
            else:
                yield Entry(
                    position=entry.position,
                    commit_time=entry.commit_time,
                    request_id=entry.request_id,
                    events=shown,
                )

    def slice(self, committed: CommittedRound, start: int) -> Slice:
        """Returns some entries of a round, from an index on, as fields of Entries.

        There are none if the round has none from there on. Filters that want the same share what
        the first of them made, unless they begin in the middle of it.
        """
        slices = committed.shown.get(self._key)
        if slices is None:
            slices = []
            if len(committed.shown) < SHARED_FILTERS_MAX:
                committed.shown[self._key] = slices
        end = slices[-1].end if slices else start
        if start == end:
            slices.append(self._new_slice(committed, start, start + SLICE_ENTRIES))
            return slices[-1]
        if start > end or start < slices[0].start:
            return self._new_slice(committed, start, start + SLICE_ENTRIES)
        found = slices[bisect_right(slices, start, key=_start_of) - 1]
        return found if found.start == start else self._new_slice(committed, start, found.end)

    def _new_slice(self, committed: CommittedRound, start: int, end_max: int) -> Slice:
        parts: list[bytes] = []
        size_bytes, end = 0, start
        for stored in committed.entries[start:end_max]:
            end += 1
            for shown in self.apply([stored]):
                parts.append(field(_ENTRY, shown.SerializeToString()))
                size_bytes += len(parts[-1])
            if size_bytes >= SLICE_BYTES:
                break
        return Slice(start, end, b"".join(parts))


def _start_of(one: Slice) -> int:
    return one.start


def _same(shown: Event, event: Event) -> bool:
    return shown is event
