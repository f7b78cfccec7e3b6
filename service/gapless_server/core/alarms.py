"""Alarms: when to look whether something has ended because its time to live is over.

An alarm is a hint and never state: it says when to ask a kind about one of its things, and the
kind answers from its rows. After a start they are set anew from the rows. While an undo log is
open none is set or dropped: what is done then is taken back, and what of it is to stay is done
again once the log is closed (see batches.py).

1. Whatever has a time to live has an alarm at its end or before.
2. A thing has at most one alarm that counts; renewing it for longer leaves that where it is.
3. What no longer counts is at most as much as what does, and a bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final, NamedTuple

from gapless_server.core.tables import UndoLog

# So many that no longer count are kept beside as many as do: looking through them costs more.
_DROPPED_MAX: Final = 1000


class Thing(NamedTuple):
    """What an alarm is about: something of a kind, by the kind's own key."""

    kind: str
    key: str


class Alarms:
    """The alarms of a namespace, by the uptime at which they are due."""

    def __init__(self, undo: UndoLog) -> None:
        self._undo = undo
        # Those that no longer count stay here until they come first, or are too many.
        self._queue: list[tuple[int, Thing]] = []
        self._due_us: dict[Thing, int] = {}

    def __len__(self) -> int:
        """Returns how many are kept, with those that no longer count."""
        return len(self._queue)

    def set(self, thing: Thing, uptime_us: int) -> None:
        """Has the thing looked at at an uptime, if it is not looked at earlier anyway."""
        if self._undo.steps is not None:
            return
        earlier_us = self._due_us.get(thing)
        if earlier_us is None or uptime_us < earlier_us:
            self._due_us[thing] = uptime_us
            heapq.heappush(self._queue, (uptime_us, thing))
            self._tidy()

    def drop(self, thing: Thing) -> None:
        """Has the thing looked at no more: it has ended."""
        if self._undo.steps is None and self._due_us.pop(thing, None) is not None:
            self._tidy()

    def _tidy(self) -> None:
        if len(self._queue) > 2 * len(self._due_us) + _DROPPED_MAX:
            self._queue = [(due_us, thing) for thing, due_us in self._due_us.items()]
            heapq.heapify(self._queue)

    def clear(self) -> None:
        """Forgets every alarm."""
        self._queue.clear()
        self._due_us.clear()

    def next_us(self) -> int | None:
        """Returns the uptime of the earliest alarm, or None."""
        while self._queue:
            due_us, thing = self._queue[0]
            if self._due_us.get(thing) == due_us:
                return due_us
            heapq.heappop(self._queue)
        return None

    def take_due(self, uptime_us: int) -> Iterator[Thing]:
        """Takes and yields, in order, what is to be looked at by an uptime."""
        while (next_us := self.next_us()) is not None and next_us <= uptime_us:
            _due_us, thing = heapq.heappop(self._queue)
            del self._due_us[thing]
            yield thing
