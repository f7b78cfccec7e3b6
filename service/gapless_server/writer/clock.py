"""Clocks: where the writer takes the time from, so that tests can advance it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in microseconds since the Unix epoch; may jump, the writer sees to that."""

    def now_us(self) -> int:
        """Returns the time."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_us(self) -> int:
        """Returns the time."""
        return time.time_ns() // 1000


class ManualClock:
    """A clock that stands still until it is advanced; for tests."""

    def __init__(self, start_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = start_us

    def now_us(self) -> int:
        """Returns the time."""
        return self._now_us

    def advance(self, seconds: float) -> None:
        """Moves the time, backwards too."""
        self._now_us += round(seconds * 1_000_000)
