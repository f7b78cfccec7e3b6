"""Lines: commands that wait for something to become free, in the order in which they came.

A line is not in the log: a command that waits has done nothing yet. A crash loses the line, and
whoever sends the same command again stands in it anew.

1. In each line commands are served in the order in which they came.
2. A command whose caller has gone leaves at once.
3. The same command sent again (the same request id of the same caller) shares its first place.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Final

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.queue import Frame
from gapless_server.writer.requests import request_key

# So many who left are kept beside as many as wait: looking through them costs more than they do.
_LEFT_MAX: Final = 1000


class Waiter:
    """A frame of one command that stands in a line, until an uptime at most."""

    __slots__ = ("end_uptime_us", "frame", "line", "place", "waiting")

    def __init__(self, frame: Frame, line: str, end_uptime_us: int) -> None:
        self.frame = frame
        self.line = line
        self.end_uptime_us = end_uptime_us
        self.place = _request_key(frame)
        self.waiting = True


def _request_key(frame: Frame) -> str:
    [command] = frame.commands
    name = command.WhichOneof("command")  # type: ignore[union-attr]  # it was decided, so parsed
    return request_key(frame.caller, getattr(command, str(name)).request_id)


def earlier(one_us: int | None, other_us: int | None) -> int | None:
    """Returns the earlier of two times, of which each may be None for never."""
    if one_us is None or other_us is None:
        return other_us if one_us is None else one_us
    return min(one_us, other_us)


class Lines:
    """All lines of a namespace."""

    def __init__(self, namespace: str, limits: WriterLimits) -> None:
        self._namespace = namespace
        self._limits = limits
        # The places of each line, in order, and who shares each one.
        self._lines: dict[str, dict[str, list[Waiter]]] = {}
        self._count = 0
        # Those who left early stay here until they come first, or are as many as who waits.
        self._ends: list[tuple[int, int, Waiter]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return self._count

    def join(self, waiter: Waiter) -> None:
        """Puts a waiter at the end of its line, or beside its twin.

        Raises Refused, reason QUEUE_FULL.
        """
        if self._count >= self._limits.line_commands_max:
            raise Refused(
                errors_pb2.ERROR_REASON_QUEUE_FULL,
                retry_after_seconds=self._limits.retry_after_seconds,
                namespace=self._namespace,
                limit=self._limits.line_commands_max,
                unit="commands in line",
            )
        line = self._lines.setdefault(waiter.line, {})
        line.setdefault(waiter.place, []).append(waiter)
        self._count += 1
        heapq.heappush(self._ends, (waiter.end_uptime_us, next(self._numbers), waiter))
        waiter.frame.outcomes.add_done_callback(lambda _outcomes: self.leave(waiter))

    def leave(self, waiter: Waiter) -> None:
        """Takes a waiter out of its line, if it still stands there."""
        if not waiter.waiting:
            return
        waiter.waiting = False
        self._count -= 1
        line = self._lines[waiter.line]
        sharing = line[waiter.place]
        sharing.remove(waiter)
        if not sharing:
            del line[waiter.place]
        if not line:
            del self._lines[waiter.line]
        if len(self._ends) > 2 * self._count + _LEFT_MAX:
            self._ends = [end for end in self._ends if end[2].waiting]
            heapq.heapify(self._ends)

    def first(self, line: str) -> list[Waiter]:
        """Returns who shares the first place of a line; nobody, if nobody waits there."""
        places = self._lines.get(line)
        return list(next(iter(places.values()))) if places else []

    def next_end_us(self) -> int | None:
        """Returns the uptime at which the first waiter has waited enough, or None."""
        while self._ends and not self._ends[0][2].waiting:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def take_overdue(self, uptime_us: int) -> Iterator[Waiter]:
        """Takes out and yields, in the order of their ends, those who have waited enough."""
        while (end_us := self.next_end_us()) is not None and end_us <= uptime_us:
            waiter = heapq.heappop(self._ends)[2]
            self.leave(waiter)
            yield waiter

    def refuse_all(self, refusal: Refused) -> None:
        """Takes out and refuses all who wait."""
        waiting = [waiter for _end_us, _number, waiter in self._ends if waiter.waiting]
        for waiter in waiting:
            self.leave(waiter)
            if not waiter.frame.outcomes.done():
                waiter.frame.outcomes.set_result([refusal])
