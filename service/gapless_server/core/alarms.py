"""Alarms: when to look whether something has ended because its time to live is over.

An alarm is a hint and never state: it says when to ask a kind about one of its things, and the
kind answers from its rows. So alarms need not be taken back with a batch that fails, and after a
start they are set anew from the rows.

1. Whatever has a time to live has an alarm at its end or before.
2. A thing has at most one alarm that counts; renewing it for longer leaves that where it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple


class Thing(NamedTuple):
    """What an alarm is about: something of a kind, by the kind's own key."""

    kind: str
    key: str


class Alarms:
    """The alarms of a namespace, by the uptime at which they are due."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, Thing]] = []
        self._due_us: dict[Thing, int] = {}

    def set(self, thing: Thing, uptime_us: int) -> None:
        """Has the thing looked at at an uptime, if it is not looked at earlier anyway."""
        earlier_us = self._due_us.get(thing)
        if earlier_us is None or uptime_us < earlier_us:
            self._due_us[thing] = uptime_us
            heapq.heappush(self._queue, (uptime_us, thing))

    def clear(self) -> None:
        """Forgets every alarm."""
        self._queue.clear()
        self._due_us.clear()

    def next_us(self) -> int | None:
        """Returns the uptime of the earliest alarm, or None."""
        return self._queue[0][0] if self._queue else None

    def take_due(self, uptime_us: int) -> Iterator[Thing]:
        """Takes and yields, in order, what is to be looked at by an uptime."""
        while self._queue and self._queue[0][0] <= uptime_us:
            due_us, thing = heapq.heappop(self._queue)
            # Otherwise an earlier alarm of the thing has taken the place of this one.
            if self._due_us.get(thing) == due_us:
                del self._due_us[thing]
                yield thing
