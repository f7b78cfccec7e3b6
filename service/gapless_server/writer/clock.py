"""Clocks: where the writer takes the time from, and the two times of a log that it makes of it.

1. A log's commit time follows the clock of the machine and never decreases: where that clock
   jumps back, commit time goes on from where it was, at the pace of the monotonic clock.
2. A log's uptime is how long it has been served. It advances with the monotonic clock, whatever
   the clock of the machine does, and goes on after a restart from the newest entry.
3. So what has a time to live, which is measured in uptime, never ends early (G11): a jump of the
   clock does not move uptime, and time when no process served the log does not count.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

# By less than this the clock of the machine is not taken to be ahead: the two clocks are read one
# after the other, and times that are told again shall not differ by what lies between.
AHEAD_US = 10_000


class Alarm(Protocol):
    """A call that was asked for; ``asyncio.TimerHandle`` is one."""

    def cancel(self) -> None:
        """Takes the call back, if it has not been made."""
        ...


class Clock(Protocol):
    """Tells the time in microseconds."""

    def now_us(self) -> int:
        """Returns the time since the Unix epoch; may jump, back or forth."""
        ...

    def monotonic_us(self) -> int:
        """Returns the time since some moment; never jumps, and stands still at most."""
        ...

    def call_at(self, monotonic_us: int, call: Callable[[], object]) -> Alarm:
        """Has `call` made on the running event loop once the monotonic time is reached."""
        ...


class SystemClock:
    """The clocks of the machine."""

    def now_us(self) -> int:
        """Returns the time since the Unix epoch."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Returns the time since some moment."""
        return time.monotonic_ns() // 1000

    def call_at(self, monotonic_us: int, call: Callable[[], object]) -> Alarm:
        """Has `call` made, by up to a millisecond late."""
        # Rounded up: uvloop counts in whole milliseconds, and a call too early would be in vain.
        delay_ms = max(0, -((self.monotonic_us() - monotonic_us) // 1000))
        return asyncio.get_running_loop().call_later(delay_ms / 1000, call)


class _ManualAlarm:
    """A call that a `ManualClock` is to make."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
        self._loop = loop
        self._call = call
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def ring(self) -> None:
        """Has the call made, whichever thread this is."""
        if not self._cancelled and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._call)


class ManualClock:
    """A clock that stands still until it is advanced; for tests. May be used from any thread."""

    def __init__(self, start_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = start_us
        self._monotonic_us = 0
        self._lock = threading.Lock()
        self._alarms: list[tuple[int, int, _ManualAlarm]] = []
        self._numbers = itertools.count()

    def now_us(self) -> int:
        """Returns the time since the Unix epoch."""
        return self._now_us

    def monotonic_us(self) -> int:
        """Returns the time that it was advanced by."""
        return self._monotonic_us

    def call_at(self, monotonic_us: int, call: Callable[[], object]) -> Alarm:
        """Has `call` made by the `advance` that reaches the time."""
        alarm = _ManualAlarm(asyncio.get_running_loop(), call)
        with self._lock:
            if monotonic_us > self._monotonic_us:
                heapq.heappush(self._alarms, (monotonic_us, next(self._numbers), alarm))
                return alarm
        alarm.ring()
        return alarm

    def advance(self, seconds: float) -> None:
        """Lets time pass. Raises ValueError for less than none; that is `jump`."""
        if seconds < 0:
            raise ValueError(f"time cannot be advanced by {seconds} seconds; use jump")
        with self._lock:
            self._now_us += round(seconds * 1_000_000)
            self._monotonic_us += round(seconds * 1_000_000)
            due = []
            while self._alarms and self._alarms[0][0] <= self._monotonic_us:
                due.append(heapq.heappop(self._alarms)[2])
        for alarm in due:
            alarm.ring()

    def jump(self, seconds: float) -> None:
        """Sets the time forth or back, without time passing."""
        self._now_us += round(seconds * 1_000_000)


class LogTime(NamedTuple):
    """The two times of a log at one moment."""

    time_us: int
    uptime_us: int


class LogClock:
    """Tells both times of one log, for as long as this process has it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        monotonic_us = clock.monotonic_us()
        # What is added to the monotonic clock; neither ever decreases.
        self._time_offset_us = clock.now_us() - monotonic_us
        self._uptime_offset_us = -monotonic_us

    def resume(self, newest: LogTime) -> None:
        """Goes on from the newest entry, unless time is further already."""
        monotonic_us = self._clock.monotonic_us()
        self._time_offset_us = max(self._time_offset_us, newest.time_us - monotonic_us)
        self._uptime_offset_us = max(self._uptime_offset_us, newest.uptime_us - monotonic_us)

    def now(self) -> LogTime:
        """Returns both times; neither is before one that was returned earlier."""
        monotonic_us = self._clock.monotonic_us()
        ahead_us = self._clock.now_us() - monotonic_us - self._time_offset_us
        if ahead_us >= AHEAD_US:
            self._time_offset_us += ahead_us
        return LogTime(monotonic_us + self._time_offset_us, monotonic_us + self._uptime_offset_us)

    def call_at_uptime(self, uptime_us: int, call: Callable[[], object]) -> Alarm:
        """Has `call` made on the running event loop once the uptime is reached."""
        return self._clock.call_at(uptime_us - self._uptime_offset_us, call)
