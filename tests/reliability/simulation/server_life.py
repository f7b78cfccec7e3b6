"""The life of the service on its machine: started, killed, stopped, restored, started again."""

from __future__ import annotations

import random
from contextvars import copy_context
from typing import Any, Final

from gapless_server.writer.limits import WriterLimits
from tests.reliability.simulation.checkpoints import SimulatedCheckpoints
from tests.reliability.simulation.disk import Disk
from tests.reliability.simulation.loop import SimulatedLoop
from tests.reliability.simulation.machine import ProcessClock, WallClock
from tests.reliability.simulation.network import Network
from tests.reliability.simulation.service import Service, ServiceLimits
from tests.reliability.simulation.trace import Trace

DOWN_SECONDS_MAX: Final = 4.0
# A service that must end but still answers does so for this long at most.
ENDING_SECONDS_MAX: Final = 5.0
# How many rounds a backup may be behind what is restored over.
BACKUP_AGE_ROUNDS_MAX: Final = 10


class ServerLife:
    """Keeps one process of the service at most."""

    def __init__(
        self,
        loop: SimulatedLoop,
        disk: Disk,
        network: Network,
        wall: WallClock,
        chance: random.Random,
        trace: Trace,
    ) -> None:
        self.service: Service | None = None
        # When each process was started, in true time.
        self.start_times: list[float] = []
        self.faults: list[str] = []
        self._loop = loop
        self._disk = disk
        self._checkpoints = SimulatedCheckpoints(disk)
        self._network = network
        self._wall = wall
        self._chance = chance
        self._trace = trace
        # Of no process: a restart does not die with what it restarts.
        self._context = copy_context()
        self._limits = self._draw_limits()
        self._wants_restore = False
        self._is_ending = False
        disk.on_crash = self.kill

    def start(self) -> None:
        """Starts a process, unless one is there."""
        if self.service is not None:
            return
        if self._wants_restore and self._disk.log.rounds:
            self._wants_restore = False
            self._restore_now()
        self._trace.note("service started")
        self._is_ending = False
        clock = ProcessClock(self._loop, self._wall, self._chance.random() * 1e6)
        self.service = Service(
            self._loop, self._disk, self._checkpoints, clock, self._limits, self._on_fatal
        )
        self.start_times.append(self._loop.time())
        self._network.service = self.service

    def kill(self) -> None:
        """Ends the process where it stands, and starts another one some time."""
        service = self.service
        if service is None:
            return
        self._trace.fault("service killed")
        self._end(service)
        self._later(self._chance.random() * DOWN_SECONDS_MAX, self.start)

    def stop(self) -> None:
        """Stops the process in order, and starts another one some time."""
        if self.service is not None and not self._is_ending:
            self._trace.fault("service stopped")
            self._begin_stop(self.service)

    def restore(self) -> None:
        """Kills the process, and puts an older backup in the place of its log."""
        if self.service is not None and self._disk.log.rounds:
            self._wants_restore = True
            self.kill()

    def mend(self) -> None:
        """Lets what pauses go on, and starts the service if it is down."""
        if self.service is not None:
            self.service.process.resume()
        self.start()

    async def close(self) -> None:
        """Stops for good."""
        service = self.service
        assert service is not None, "a world is mended before it ends"
        await service.process.start(service.stop())
        self._end(service)

    def _end(self, service: Service) -> None:
        if self.service is service:
            service.process.kill()
            self.faults += service.faults
            self.service = self._network.service = None
            self._network.service_ended(service.process)

    def _begin_stop(self, service: Service) -> None:
        """Stops in order, as far as that takes no longer than it may."""
        self._is_ending = True
        stopping = service.process.start(service.stop())

        def ended(_what: Any) -> None:
            self._end(service)
            self._later(self._chance.random() * DOWN_SECONDS_MAX, self.start)

        def too_long() -> None:
            if not stopping.done():
                ended(None)

        stopping.add_done_callback(ended, context=self._context)
        self._later(ENDING_SECONDS_MAX, too_long)

    def _on_fatal(self, service: Service) -> None:
        """A writer stopped: the process ends, as ``gapless serve`` does."""
        if self.service is not service or self._is_ending:
            return
        self._is_ending = True
        self._later(self._chance.random() * 0.01, self._begin_stop, service)

    def _restore_now(self) -> None:
        log = self._disk.log
        oldest = max(
            0, log.index_of(log.restored_position), len(log.rounds) - BACKUP_AGE_ROUNDS_MAX
        )
        position = log.rounds[self._chance.randrange(oldest, len(log.rounds))].last_position
        self._trace.fault("log restored", log.head.position, position)
        self._disk.restore(position, self._wall.now_us())

    def _later(self, delay: float, action: Any, *arguments: Any) -> None:
        self._loop.call_at(self._loop.time() + delay, action, *arguments, context=self._context)

    def _draw_limits(self) -> ServiceLimits:
        chance = self._chance
        writer = WriterLimits(
            round_commands_max=chance.choice((1, 2, 5, 1000)),
            queue_commands_max=chance.choice((4, 100)),
            line_commands_max=chance.choice((1, 100)),
            feed_bytes_max=chance.choice((1, 500, 5000)),
            checkpoint_entries=chance.choice((3, 10, 1000)),
        )
        return ServiceLimits(writer, chance.choice((2.0, 300.0)), chance.choice((1, 2, 8)))
