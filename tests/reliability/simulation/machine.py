"""The machine: its clocks and its dice, also where the standard library would be asked for them.

The SDK and the service ask ``time``, ``random`` and ``secrets``. While a world runs, these answer
with simulated time and with the seed's dice, so nothing of the real machine gets in.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from gapless import _request_ids

START_TIME_US = 1_700_000_000_000_000
MICROSECONDS = 1_000_000


class WallClock:
    """The clock of the machine, which can be set, stand still and run fast."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since = loop.time()
        self._then_us = START_TIME_US
        self._rate = 1.0

    def now_us(self) -> int:
        """Returns what it shows, in microseconds since the Unix epoch."""
        passed = self._loop.time() - self._since
        return self._then_us + round(passed * self._rate * MICROSECONDS)

    def now(self) -> float:
        """Returns what it shows, in seconds."""
        return self.now_us() / MICROSECONDS

    def jump(self, seconds: float) -> None:
        """Sets it forth or back."""
        self._then_us += round(seconds * MICROSECONDS)

    def run_at(self, rate: float) -> None:
        """Lets it run at a multiple of true time; 0: it stands still."""
        self._then_us, self._since = self.now_us(), self._loop.time()
        self._rate = rate


class ProcessClock:
    """The clocks as one process of the service sees them; keeps the writer's `Clock` protocol."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wall: WallClock, monotonic_start: float
    ) -> None:
        self._loop = loop
        self._wall = wall
        # The monotonic clock begins anew with every boot.
        self._offset = monotonic_start - loop.time()

    def now_us(self) -> int:
        """Returns what the clock of the machine shows."""
        return self._wall.now_us()

    def monotonic_us(self) -> int:
        """Returns the time since some moment."""
        return int((self._loop.time() + self._offset) * MICROSECONDS)

    def call_at(self, monotonic_us: int, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Has `call` made in the process that asks for it."""
        # A microsecond more than asked for: the time above is cut to whole ones.
        return self._loop.call_at((monotonic_us + 1) / MICROSECONDS - self._offset, call)


@contextmanager
def simulated(
    loop: asyncio.AbstractEventLoop, wall: WallClock, chance: random.Random
) -> Iterator[None]:
    """Puts simulated time and dice in the place of those of the standard library."""
    with (
        mock.patch.object(time, "monotonic", loop.time),
        mock.patch.object(time, "thread_time", loop.time),
        mock.patch.object(time, "time", wall.now),
        mock.patch.object(random, "random", chance.random),
        mock.patch.object(secrets, "randbits", chance.getrandbits),
        mock.patch.object(secrets, "token_hex", lambda size: chance.randbytes(size).hex()),
    ):
        _request_ids._of_thread.renew()
        yield
    # Whatever makes request ids from now on must not repeat those of the world.
    _request_ids._of_thread.renew()
