"""What goes wrong in a world, and when: drawn by the seed, until it is told to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from tests.reliability.simulation.disk import Disk, Fate
from tests.reliability.simulation.machine import WallClock
from tests.reliability.simulation.network import Link, Network, Weather
from tests.reliability.simulation.server_life import ServerLife
from tests.reliability.simulation.trace import Trace

BETWEEN_SECONDS_MEAN: Final = 1.2
# Each kind is part of so many worlds.
KIND_PART: Final = 0.45

HOUR_SECONDS: Final = 3600.0
TEN_YEARS_SECONDS: Final = 10 * 365.25 * 24 * HOUR_SECONDS


class Faults:
    """Lets things go wrong."""

    def __init__(
        self,
        life: ServerLife,
        network: Network,
        disk: Disk,
        wall: WallClock,
        links: Sequence[Link],
        chance: random.Random,
        trace: Trace,
    ) -> None:
        self._life = life
        self._network = network
        self._disk = disk
        self._wall = wall
        self._links = links
        self._chance = chance
        self._trace = trace
        self._loop = network.loop
        self._is_over = False
        self._undoing: list[Callable[[], None]] = []
        kinds: list[Callable[[], None]] = [
            self._kill, self._stop, self._commit_goes_wrong, self._disk_full, self._disk_slow,
            self._pause, self._clock_jumps, self._clock_rate, self._reset, self._partition,
            self._weather, self._restore,
        ]  # fmt: skip
        self._kinds = [kind for kind in kinds if chance.random() < KIND_PART] or [self._kill]

    @property
    def clock_is_true(self) -> bool:
        """Whether the clock of the machine is left alone in this world."""
        return self._clock_jumps not in self._kinds and self._clock_rate not in self._kinds

    async def run(self) -> None:
        """Lets one thing after another go wrong."""
        while True:
            # simulated: nothing goes wrong for a while
            await asyncio.sleep(self._chance.expovariate(1 / BETWEEN_SECONDS_MEAN))
            self._chance.choice(self._kinds)()

    def end(self) -> None:
        """Mends everything: from now on nothing goes wrong."""
        self._is_over = True
        self._network.weather = Weather()
        self._disk.fates.clear()
        for undo in self._undoing:
            undo()
        self._life.mend()
        self._trace.note("mended")

    def _for_a_while(self, seconds_max: float, undo: Callable[[], None]) -> None:
        self._undoing.append(undo)
        delay = self._chance.random() * seconds_max
        self._loop.call_later(delay, undo)

    def _kill(self) -> None:
        self._life.kill()

    def _stop(self) -> None:
        self._life.stop()

    def _commit_goes_wrong(self) -> None:
        self._disk.fates.append(self._chance.choice(list(Fate)))

    def _disk_full(self) -> None:
        self._trace.fault("disk full")
        self._disk.is_full = True
        self._for_a_while(6.0, self._empty_disk)

    def _empty_disk(self) -> None:
        self._disk.is_full = False

    def _disk_slow(self) -> None:
        self._trace.fault("disk slow")
        self._disk.slowness_seconds = self._chance.random() ** 2 * 10.0
        self._for_a_while(6.0, self._hasten_disk)

    def _hasten_disk(self) -> None:
        self._disk.slowness_seconds = 0.0

    def _pause(self) -> None:
        service = self._life.service
        if service is None or service.process.is_paused:
            return
        self._trace.fault("service paused")
        service.process.pause()
        self._for_a_while(10.0, service.process.resume)

    def _clock_jumps(self) -> None:
        seconds = self._chance.choice((HOUR_SECONDS, -HOUR_SECONDS, -TEN_YEARS_SECONDS, 0.02))
        self._trace.fault("clock jumped", seconds)
        self._wall.jump(seconds)

    def _clock_rate(self) -> None:
        rate = self._chance.choice((0.0, 0.5, 100.0))
        self._trace.fault("clock frozen" if rate == 0 else "clock at another pace", rate)
        self._wall.run_at(rate)
        self._for_a_while(10.0, lambda: self._wall.run_at(1.0))

    def _reset(self) -> None:
        self._trace.fault("connection reset")
        self._chance.choice(self._links).reset()

    def _partition(self) -> None:
        self._trace.fault("client cut off")
        link = self._chance.choice(self._links)
        link.is_up = False
        link.reset()

        def mend() -> None:
            link.is_up = True

        self._for_a_while(5.0, mend)

    def _weather(self) -> None:
        self._trace.fault("bad weather")
        bad = 0.08 * self._chance.random()
        self._network.weather = Weather(bad, bad, bad)

    def _restore(self) -> None:
        self._life.restore()
