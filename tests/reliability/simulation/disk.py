"""The disk: what is on it outlives every process; and the journal port (J1 to J8) on top of it.

A commit takes effect in the middle of its time. A process that dies before that has committed
nothing, and one that dies after it has, without anybody having been told: the outcome of a commit
under way is unknown, and the chance of the moment decides it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NoReturn

from gapless_server.backup.places import restored_round
from gapless_server.core.times import from_timestamp
from gapless_server.journal.port import (
    EMPTY_HEAD,
    Head,
    NoRoom,
    NotSupported,
    OutcomeUnknown,
    OwnedElsewhere,
    Round,
)
from gapless_server.storage.v1.storage_pb2 import StoredRound
from tests.reliability.simulation.loop import Process
from tests.reliability.simulation.trace import Trace

COMMIT_SECONDS_MAX: Final = 0.004
READ_SECONDS_MAX: Final = 0.001
FAILING_SECONDS_MAX: Final = 2.0
FAILED_SECONDS: Final = 0.1


class Fate(Enum):
    """What becomes of one commit that goes wrong."""

    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    UNKNOWN_LOST = auto()
    UNKNOWN_KEPT = auto()


_LOST: Final = frozenset({Fate.CRASH_BEFORE, Fate.UNKNOWN_LOST})


@dataclass
class History:
    """One incarnation of the log."""

    incarnation: str
    rounds: list[Round] = field(default_factory=list)
    # When the round of the same index was handed to the disk, in true time.
    times: list[float] = field(default_factory=list)
    # When it became durable.
    durable_times: list[float] = field(default_factory=list)
    # Where this history left the one before, if it was restored.
    restored_position: int = 0
    # The rounds that were rewritten, as they were before, with the position that erased from them.
    rewritten: list[tuple[int, Round]] = field(default_factory=list)

    @property
    def head(self) -> Head:
        """The newest durable position."""
        if not self.rounds:
            return EMPTY_HEAD
        return Head(self.rounds[-1].last_position, self.rounds[-1].chain_hash)

    def index_of(self, position: int) -> int:
        """Returns which round holds a position."""
        low, high = 0, len(self.rounds)
        while low < high:
            middle = (low + high) // 2
            if self.rounds[middle].last_position < position:
                low = middle + 1
            else:
                high = middle
        return low


class Disk:
    """The disk of the machine, with the log of one namespace in all its incarnations."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chance: random.Random, trace: Trace
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.trace = trace
        self.histories = [History(chance.randbytes(8).hex())]
        self.erasure_pending = False
        self.is_full = False
        # A commit takes up to so much longer.
        self.slowness_seconds = 0.0
        self.fates: deque[Fate] = deque()
        self.on_crash: Callable[[], None] = lambda: None
        self.owner: Process | None = None

    @property
    def log(self) -> History:
        """The incarnation that is there now."""
        return self.histories[-1]

    def commit_seconds(self) -> float:
        """Returns how long a write and a sync take now."""
        seconds = self.chance.random() * COMMIT_SECONDS_MAX
        return seconds + self.chance.random() * self.slowness_seconds

    def put(self, record: Round, time: float, rewritten: Sequence[Round] = ()) -> None:
        """Has a round, and others as they are from now on, at one moment."""
        log = self.log
        log.rounds.append(record)
        log.times.append(time)
        log.durable_times.append(self.loop.time())
        for new in rewritten:
            index = log.index_of(new.first_position)
            log.rewritten.append((record.first_position, log.rounds[index]))
            log.rounds[index] = new
        self.trace.note("durable", record.last_position, record.chain_hash)

    def restore(self, position: int, now_us: int) -> None:
        """Replaces the log by a backup that ended with the round at `position`."""
        old = self.log
        count = old.index_of(position) + 1
        rounds = old.rounds[:count]
        for erasing_position, before in reversed(old.rewritten):
            if before.first_position <= position < erasing_position:
                rounds[old.index_of(before.first_position)] = before
        newest = StoredRound.FromString(rounds[-1].data)
        head_time_us = from_timestamp(newest.entries[-1].entry.commit_time)
        record = restored_round(
            Head(rounds[-1].last_position, rounds[-1].chain_hash),
            old.incarnation,
            max(now_us, head_time_us),
            newest.uptime_us,
        )
        new = History(
            self.chance.randbytes(8).hex(),
            rounds,
            old.times[:count],
            old.durable_times[:count],
            position,
        )
        self.histories.append(new)
        self.put(record, self.loop.time())


class SimulatedJournal:
    """One open log."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._head = disk.log.head
        self._failed = False
        self.incarnation = disk.log.incarnation

    @property
    def head(self) -> Head:
        """The newest position whose commit has returned."""
        return self._head

    @property
    def erasure_pending(self) -> bool:
        """Whether an erasure is not complete."""
        return self._disk.erasure_pending

    async def append(self, record: Round) -> None:
        """Commits a round."""
        await self._commit(record, ())

    async def append_rewriting(self, record: Round, rewritten: AsyncIterator[Round]) -> None:
        """Commits a round, and others of before as they are from now on."""
        await self._commit(record, [old async for old in rewritten])

    async def _commit(self, record: Round, rewritten: Sequence[Round]) -> None:
        disk = self._disk
        if self._failed:
            await asyncio.sleep(FAILED_SECONDS)  # simulated: it takes time to say so again
            raise OutcomeUnknown("an earlier commit failed")
        if record.first_position != self._head.position + 1:
            raise ValueError(f"round begins at {record.first_position}, not after {self._head}")
        if disk.is_full:
            raise NoRoom("the disk is full")
        time = disk.loop.time()
        seconds = disk.commit_seconds()
        fate = disk.fates.popleft() if disk.fates else None
        if fate is not None:
            # A disk fails only after it has tried for a while.
            seconds += disk.chance.random() * FAILING_SECONDS_MAX
        await asyncio.sleep(seconds / 2)  # simulated: the time before a commit takes effect
        if fate not in _LOST:
            disk.put(record, time, rewritten)
            disk.erasure_pending = disk.erasure_pending or bool(rewritten)
        if fate is not None:
            await self._fail(fate)
        await asyncio.sleep(seconds / 2)  # simulated: the time until the commit is told
        self._head = Head(record.last_position, record.chain_hash)

    async def _fail(self, fate: Fate) -> None:
        self._disk.trace.fault(f"commit {fate.name.lower()}")
        if fate in (Fate.CRASH_BEFORE, Fate.CRASH_AFTER):
            self._disk.on_crash()
            await asyncio.sleep(0)  # from which a process that died never returns
        self._failed = True
        raise OutcomeUnknown("input/output error")

    async def scrub(self) -> bool:
        """Overwrites old pages, of which there are none."""
        await asyncio.sleep(self._disk.commit_seconds())  # simulated time
        return self._disk.chance.random() < 0.5

    async def end_erasure(self, position: int) -> None:
        """Notes that an erasure is complete."""
        self._disk.erasure_pending = False

    def has_room(self) -> bool:
        """Whether an append has a chance."""
        return not self._disk.is_full

    async def read(self, from_position: int) -> AsyncIterator[Round]:
        """Yields the rounds from the one that holds `from_position` on."""
        log = self._disk.log
        # Looked up before anything is read: a rewriting round may come in between.
        index = log.index_of(from_position)
        while index < len(log.rounds) and log.rounds[index].last_position <= self._head.position:
            if self._disk.chance.random() < 0.1:
                await asyncio.sleep(self._disk.chance.random() * READ_SECONDS_MAX)  # simulated
            yield log.rounds[index]
            index += 1

    async def close(self) -> None:
        """Gives the log free."""
        self._disk.owner = None


class SimulatedStore:
    """The logs of the machine, of which there is one, as a process of the service opens them."""

    name = "simulated"
    version = ""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process

    def announce(self, address: str) -> None:
        """Nobody asks."""

    async def open(self, namespace: str) -> SimulatedJournal:
        """Opens the log. Raises OwnedElsewhere if a process that lives has it."""
        owner = self._disk.owner
        if owner is not None and owner.is_alive:
            raise OwnedElsewhere(f"the log of namespace {namespace} is open")
        self._disk.owner = self._process
        return SimulatedJournal(self._disk)

    def exists(self, namespace: str) -> bool:
        """Says whether the log has a round."""
        return bool(self._disk.log.rounds)

    def namespaces(self) -> list[str]:
        """Returns the names of the logs."""
        return ["default"] if self._disk.log.rounds else []

    async def copy(self, namespace: str) -> NoReturn:
        """Raises NotSupported: backups are made by the world."""
        raise NotSupported(f"the log of namespace {namespace} has no file")

    async def close(self) -> None:
        """Does nothing."""
