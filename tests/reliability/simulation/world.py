"""One world: clients at work on a machine where things go wrong, all of it decided by a seed.

First things go wrong, then nothing does any more; from then on every command must get its answer,
and every watch catch up, within a bounded time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from structlog.testing import capture_logs

from tests.reliability.simulation.checks import FAULT, NOT_LIVE, Evidence, breaches
from tests.reliability.simulation.clients import Worker
from tests.reliability.simulation.commands import CHANNELS
from tests.reliability.simulation.disk import Disk
from tests.reliability.simulation.faults import Faults
from tests.reliability.simulation.loop import Hung, SimulatedLoop, watchdog
from tests.reliability.simulation.machine import WallClock, simulated
from tests.reliability.simulation.network import Network
from tests.reliability.simulation.records import Records
from tests.reliability.simulation.server_life import ServerLife
from tests.reliability.simulation.trace import Trace

WORKERS: Final = 3
TASKS: Final = 2
COMMANDS: Final = 8
# Things go wrong for so long at most.
FAULTS_SECONDS_MAX: Final = 25.0
# After that everybody has what they asked for within so long: the longest wait in line, the end
# of the longest lock, and the silence after which a watch that is cut off looks for another.
LIVENESS_SECONDS_MAX: Final = 90.0


# A hundred times what a world takes, also on a busy machine.
PROCESS_SECONDS_MAX: Final = 15.0
# Who waits for a lock that others hold for two seconds each waits for so long.
LOCK_WAIT_SECONDS: Final = 10


class Lived(NamedTuple):
    """What became of a world."""

    seed: int
    # What broke, by the promise's name, with what and where.
    broken: list[tuple[str, str]]
    counts: Counter[str]
    trace_digest: str
    trace_tail: str


class World:
    """See the head of this file."""

    def __init__(self, seed: int) -> None:
        self._loop = SimulatedLoop(random.Random(f"{seed} loop"))
        self._trace = Trace(self._loop)
        self._wall = WallClock(self._loop)
        self._disk = Disk(self._loop, random.Random(f"{seed} disk"), self._trace)
        self._network = Network(self._loop, random.Random(f"{seed} network"), self._trace)
        self._chance = random.Random(f"{seed} world")
        self._records = Records()
        self._seed = seed

    def run(self) -> Lived:
        """Lets the world live, and checks every promise."""
        with ExitStack() as stack:
            stack.enter_context(capture_logs())
            stack.callback(self._loop.close)
            stack.enter_context(simulated(self._loop, self._wall, self._chance))
            try:
                with watchdog(PROCESS_SECONDS_MAX):
                    found = self._loop.run_until_complete(self._live())
            except Hung as error:
                found = [(NOT_LIVE, str(error))]
            except Exception as error:
                found = [(FAULT, f"the world ended: {error!r}")]
            # Before those who still wait are ended: that is no part of the world.
            counts, digest, tail = self._counts(), self._trace.digest(), self._trace.tail()
        return Lived(self._seed, found, counts, digest, tail)

    def _counts(self) -> Counter[str]:
        records = self._records
        return self._trace.counts + Counter(
            {
                "commands": len(records.commands),
                "refusals": sum(1 for command in records.commands if command.refusal),
                "entries watched": sum(len(watch.entries) for watch in records.watches),
                "heads read": len(records.heads),
            }
        )

    async def _live(self) -> list[tuple[str, str]]:
        life = ServerLife(
            self._loop, self._disk, self._network, self._wall, self._chance, self._trace
        )
        workers = [
            Worker(f"c{number}", self._network, self._disk, self._records,
                   random.Random(f"{self._seed} client {number}"))
            for number in range(WORKERS)
        ]  # fmt: skip
        links = [worker.link for worker in workers]
        faults = Faults(
            life, self._network, self._disk, self._wall, links, self._chance, self._trace
        )
        life.start()
        async with asyncio.timeout(LIVENESS_SECONDS_MAX):
            await workers[0].set_up()
        watching = [
            asyncio.create_task(workers[0].watch(None, 0.0, 0.05)),
            asyncio.create_task(workers[1].watch(None, 0.1, 0.0)),
            asyncio.create_task(workers[2].watch(CHANNELS[0], 0.05, 0.05)),
        ]
        working = asyncio.gather(
            *[worker.work(COMMANDS) for worker in workers for _ in range(TASKS)]
        )
        going_wrong = asyncio.create_task(faults.run())
        await asyncio.wait([working], timeout=FAULTS_SECONDS_MAX)
        going_wrong.cancel()
        faults.end()
        broken = await self._become_quiet(working, watching)
        broken += await self._pass_on_a_lock(workers)
        for task in (*watching, working):
            task.cancel()
        return broken + await self._judge(life, faults, workers)

    async def _become_quiet(
        self, working: asyncio.Future[Any], watching: list[asyncio.Task[None]]
    ) -> list[tuple[str, str]]:
        """Waits until all is done and seen; says what is not in time."""
        end_time = self._loop.time() + LIVENESS_SECONDS_MAX
        await asyncio.wait([working], timeout=LIVENESS_SECONDS_MAX)
        if not working.done():
            waiting = [str(each) for each in self._records.commands if not each.has_returned]
            return [(NOT_LIVE, f"after {LIVENESS_SECONDS_MAX} s without an answer: {waiting}")]
        while self._loop.time() < end_time:
            ended = [task for task in (working, *watching) if task.done() and task.exception()]
            if ended:
                return [(FAULT, f"a client ended: {task.exception()!r}") for task in ended]
            if self._all_seen():
                return []
            await asyncio.sleep(0.2)  # simulated: until the watches have come further
        return [(NOT_LIVE, "a watch has not come to the head of the log")]

    async def _pass_on_a_lock(self, workers: list[Worker]) -> list[tuple[str, str]]:
        """Has a lock pass from one silent holder to the next; says who did not get it."""
        acquiring = [
            asyncio.create_task(worker.client.locks.acquire("last", worker.name, ttl=2, wait=wait))
            for wait, worker in enumerate(workers, start=LOCK_WAIT_SECONDS)
        ]
        done, _late = await asyncio.wait(acquiring, timeout=2 * LOCK_WAIT_SECONDS)
        granted = sum(1 for task in done if task.exception() is None)
        for task in acquiring:
            task.cancel()
        if granted == len(acquiring):
            return []
        return [(NOT_LIVE, f"{granted} of {len(acquiring)} who waited for a lock got it")]

    def _all_seen(self) -> bool:
        head, newest = self._disk.log.head.position, {}
        for watch in self._records.watches:
            newest[watch.name] = watch
        return all(
            watch.channel_id is not None or (watch.entries and watch.entries[-1].position == head)
            for watch in newest.values()
        )

    async def _judge(
        self, life: ServerLife, faults: Faults, workers: list[Worker]
    ) -> list[tuple[str, str]]:
        assert life.service is not None
        async with asyncio.timeout(LIVENESS_SECONDS_MAX):
            digest = await life.service.process.start(life.service.state_digest())
            for worker in workers:
                await worker.client.close()
            await life.close()
        evidence = Evidence(
            records=self._records,
            histories=self._disk.histories,
            requests=self._network.requests,
            start_times=life.start_times,
            state_digest=digest,
            tokens_comparable=faults.clock_is_true,
        )
        told = [*life.faults, *self._records.faults, *self._loop.unhandled, *self._loop.failures()]
        return [*breaches(evidence), *((FAULT, fault) for fault in told)]
