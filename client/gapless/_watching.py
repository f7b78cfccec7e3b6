"""Where a watch stands, and what its stream's messages mean: no waiting here.

Invariants:
1. Every entry is given once, in order, across any number of streams.
2. Storing the cursor of the last item handled, and beginning there again, gives neither a hole nor
   a double, also if that item was in the middle of a message of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gapless.errors import CursorReset
from gapless.v1 import events_pb2

# Between the cursor of the service and the position up to which its entries were handled.
_HANDLED_MARK: Final = "+"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed command or atomic batch, with those of its events that were asked for."""

    message: events_pb2.Entry
    """The entry as it came."""
    cursor: str
    """A watch or read that begins with this cursor goes on right after this entry."""

    @property
    def position(self) -> int:
        """Its gap-free number in the namespace's log, from 1."""
        return self.message.position

    @property
    def commit_time(self) -> datetime:
        """When it was committed, in UTC; cut to microseconds."""
        time = self.message.commit_time
        return _EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1000)

    @property
    def request_id(self) -> str:
        """The request id of the command; empty for what the service did by itself."""
        return self.message.request_id

    @property
    def events(self) -> Sequence[events_pb2.Event]:
        """What happened, in order."""
        return self.message.events


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The watch has given all that was committed when it began. Comes once a watch."""

    position: int
    """The position up to which the log has been looked through."""
    cursor: str
    """A watch or read that begins with this cursor goes on from here."""


WatchItem = Entry | CaughtUp


def event_filter(
    channel_ids: Sequence[str] | None,
    event_types: Sequence[str] | None,
    config_key_prefixes: Sequence[str] | None,
) -> events_pb2.EventFilter | None:
    """The filter of a request; None if there is no condition.

    Raises:
        TypeError: a single string was given where several are meant.
        ValueError: a list is empty, which would match nothing, and to the service is no condition.
    """
    given = {
        "channel_ids": channel_ids,
        "event_types": event_types,
        "config_key_prefixes": config_key_prefixes,
    }
    conditions = {}
    for name, values in given.items():
        if values is None:
            continue
        if isinstance(values, str):
            raise TypeError(f"{name} is the string {values!r}; expected a list of strings")
        conditions[name] = list(values)
        if not conditions[name]:
            raise ValueError(
                f"{name} is empty, which no event matches; expected at least one, or None for no"
                " condition"
            )
    return events_pb2.EventFilter(**conditions) if conditions else None


def split_cursor(cursor: str) -> tuple[str, int]:
    """The service's cursor, and the position up to which entries after it were handled."""
    base, mark, position = cursor.rpartition(_HANDLED_MARK)
    if mark and position.isascii() and position.isdecimal():
        return base, int(position)
    return cursor, 0


class WatchPosition:
    """How far a watch has come."""

    def __init__(
        self,
        *,
        from_start: bool,
        from_now: bool,
        cursor: str | None,
        filter: events_pb2.EventFilter | None,  # noqa: A002  (the field's name)
    ) -> None:
        """Exactly one beginning is to be given.

        Raises:
            ValueError: none or several are.
        """
        if (from_start, from_now, cursor is not None).count(True) != 1:
            raise ValueError(
                "a watch begins in one way: give exactly one of from_start=True, from_now=True"
                " and cursor=..."
            )
        self._from_now = from_now
        self._filter = filter
        # Empty until the service has given one: then the beginning is where it was asked to be.
        self._cursor, self._handled_position = split_cursor(cursor or "")
        self._caught_up = False

    def request(self) -> events_pb2.WatchRequest:
        """What to ask for, now or to go on after a break."""
        if self._cursor:
            return events_pb2.WatchRequest(cursor=self._cursor, filter=self._filter)
        if self._from_now:
            return events_pb2.WatchRequest(from_now=True, filter=self._filter)
        return events_pb2.WatchRequest(from_start=True, filter=self._filter)

    def take(self, response: events_pb2.WatchResponse) -> Iterator[WatchItem]:
        """The items that a message of the stream brings.

        Raises:
            CursorReset: the cursor belongs to another incarnation of the log.
        """
        match response.WhichOneof("content"):
            case "entries":
                self._cursor = response.entries.start_cursor
                yield from self._entries(response.entries.entries, response.cursor)
            case "caught_up":
                self._cursor = response.cursor
                if not self._caught_up:
                    self._caught_up = True
                    yield CaughtUp(response.caught_up.position, response.cursor)
            case "heartbeat":
                self._cursor = response.cursor
            case "reset":
                raise CursorReset(
                    "the cursor belongs to another incarnation of the log, which is now"
                    f" {response.reset.incarnation}; what was read with it may no longer be so."
                    " Begin again with from_start=True",
                    metadata={"incarnation": response.reset.incarnation},
                )
            case _:
                # Said by a newer service, and no entry: nothing is missed.
                self._cursor = response.cursor or self._cursor

    def _entries(
        self, entries: Sequence[events_pb2.Entry], cursor_after: str
    ) -> Iterator[WatchItem]:
        for entry in _unhandled(entries, self._cursor, cursor_after, self._handled_position):
            self._handled_position = entry.position
            yield entry
        self._cursor = cursor_after


class ReadPosition:
    """How far a reader of the log by page has come."""

    def __init__(
        self,
        *,
        cursor: str | None,
        filter: events_pb2.EventFilter | None,  # noqa: A002  (the field's name)
        page_size: int | None,
    ) -> None:
        self.cursor = cursor or ""
        # Beyond the cursor of the service, entries up to this position were handled; 0: none.
        self._base, self._handled_position = split_cursor(self.cursor)
        self._filter = filter
        self._page_size = page_size

    def request(self) -> events_pb2.ReadEventsRequest:
        """What to ask for next."""
        return events_pb2.ReadEventsRequest(
            cursor=self._base, filter=self._filter, page_size=self._page_size or 0
        )

    def take(self, page: events_pb2.ReadEventsResponse) -> Iterator[Entry]:
        """The entries of a page that were not handled before; moves on with each."""
        self._base = page.start_cursor
        for entry in _unhandled(
            page.entries, page.start_cursor, page.cursor, self._handled_position
        ):
            self.cursor = entry.cursor
            self._handled_position = entry.position
            yield entry
        self._base = self.cursor = page.cursor
        if page.entries and page.entries[-1].position >= self._handled_position:
            self._handled_position = 0
        elif self._handled_position:
            # Pages are smaller than the message was that the cursor came from: in later ones
            # there is still something that was handled.
            self.cursor = f"{page.cursor}{_HANDLED_MARK}{self._handled_position}"


def _unhandled(
    entries: Sequence[events_pb2.Entry],
    cursor_before: str,
    cursor_after: str,
    handled_position: int,
) -> Iterator[Entry]:
    """The entries beyond what was handled before, each with a cursor of its own.

    The service gives one cursor for all of them, which is that of the last.
    """
    last = len(entries) - 1
    for index, entry in enumerate(entries):
        if entry.position <= handled_position:
            continue
        if index == last:
            yield Entry(entry, cursor_after)
        else:
            yield Entry(entry, f"{cursor_before}{_HANDLED_MARK}{entry.position}")
