"""A namespace: one log, one writer task, the state that is visible, and those who wait for it.

The state in memory runs ahead of the disk while a round is being committed. Nothing shows it
then (G2): answers wait in their frames, and reads wait in a list until the round is durable.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import structlog

from gapless.v1 import errors_pb2
from gapless_server.checkpoint.port import Checkpoint, Damaged
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.journal.port import Corrupt, Head, Journal, NoRoom
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.clock import Clock
from gapless_server.writer.feed import CommittedRound, Feed
from gapless_server.writer.history import History
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.queue import Frame, FrameQueue
from gapless_server.writer.requests import request_key
from gapless_server.writer.rounds import EntryNeeded, Outcome, RoundBuilder

_log = structlog.get_logger()

Answer = TypeVar("Answer")

# After so many commands the writer lets the event loop breathe, about every 5 ms.
COMMANDS_BETWEEN_YIELDS = 500


# Told of the frames of a round and their outcomes, once these are final. Must not fail.
OnRound = Callable[[str, Sequence[Frame], Sequence[Sequence[Outcome]]], None]


class Namespace:
    """An open namespace. Made by `open`; every method belongs to the event loop it was made on."""

    def __init__(
        self,
        name: str,
        kernel: Kernel,
        journal: Journal,
        clock: Clock,
        limits: WriterLimits,
        on_fatal: Callable[[str, BaseException], None],
        on_round: OnRound | None = None,
    ) -> None:
        self.name = name
        self._kernel = kernel
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._on_fatal = on_fatal
        self._on_round = on_round
        self._history = History(name, kernel)
        self._checkpoint: Checkpoint | None = None
        self.feed = Feed(limits.feed_bytes_max)
        self._queue = FrameQueue(name, limits)
        self._frames_in_round: list[Frame] = []
        self._wake: asyncio.Future[None] | None = None
        self._committing = False
        self._reads: list[tuple[Callable[[State], Any], asyncio.Future[Any]]] = []
        self._closing = False
        self._is_full = False
        self._failure: Refused | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        name: str,
        kernel: Kernel,
        journal: Journal,
        clock: Clock,
        limits: WriterLimits,
        on_fatal: Callable[[str, BaseException], None],
        on_round: OnRound | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Namespace:
        """Loads what the log adds up to and starts the writer. Raises Corrupt."""
        namespace = cls(name, kernel, journal, clock, limits, on_fatal, on_round)
        namespace._checkpoint = checkpoint
        await namespace._history.load(journal, checkpoint, limits.checkpoint_entries)
        namespace._task = asyncio.create_task(namespace._run(), name=f"writer {name}")
        return namespace

    @property
    def incarnation(self) -> str:
        """The random name of this history of the log."""
        return self._journal.incarnation

    @property
    def head(self) -> Head:
        """The newest durable position and the chain's hash there."""
        return self._history.head

    @property
    def head_time_us(self) -> int:
        """When the newest durable entry was committed; 0 while there is none."""
        return self._history.head_time_us

    @property
    def exists(self) -> bool:
        """True once a command has been committed."""
        return self.head.position > 0

    @property
    def idle(self) -> bool:
        """True while nothing is queued or being committed."""
        return not self._queue and not self._committing and not self._reads

    def now_us(self) -> int:
        """Returns the time as the next entry would have it: never before the newest entry."""
        return max(self._clock.now_us(), self.head_time_us)

    def submit(self, frame: Frame) -> None:
        """Queues a frame. Raises Refused if the queue is full or the namespace stops.

        From here on the frame is run, whether anybody still waits for it or not.
        """
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise self._shutting_down()
        if self._is_full:
            self._is_full = not self._journal.has_room()
            if self._is_full:
                raise self._disk_full()
        self._queue.put(frame)
        self._wake_writer()

    async def read(self, answer: Callable[[State], Answer]) -> Answer:
        """Returns what `answer` makes of the state, at a moment when all of it is durable.

        Everything that was acknowledged before the call is in it (G4). Raises what `answer`
        raises.
        """
        if self._failure is not None:
            raise self._failure
        if not self._committing:
            try:
                return answer(self._history.state)
            except Damaged as error:
                raise self._fail(error) from error
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._reads.append((answer, future))
        return await future

    async def reached(self, position: int) -> None:
        """Returns when the log has at least this position. Raises Refused if it never will."""
        while self.head.position < position:
            if self._failure is not None:
                raise self._failure
            if self._task is None or self._task.done():
                raise self._shutting_down()
            await self.feed.news()

    async def entry_of_request(self, caller: str, request_id: str) -> StoredEntry | None:
        """Returns the durable entry of a request id, or None if none was committed."""
        key = request_key(caller, request_id)
        position = await self.read(lambda _state: self._history.requests.get(key))
        if position is None:
            return None
        stored = self.feed.entry(position) or (await self._load_round(position))[position]
        found = request_key(stored.caller, stored.entry.request_id)
        return stored if found == key else None

    async def rounds_from(self, position: int) -> AsyncIterator[CommittedRound]:
        """Yields the durable rounds from the one that holds `position` on, up to the head."""
        while position <= self.head.position:
            recent = self.feed.rounds_from(position)
            if recent:
                for committed in recent:
                    yield committed
                    position = committed.record.last_position + 1
                continue
            async for record in self._journal.read(position):
                yield CommittedRound(record)
                position = record.last_position + 1
                if self.feed.rounds_from(position) is not None:
                    break

    async def drain(self) -> None:
        """Refuses what comes from now on, and commits and answers what is queued."""
        self._closing = True
        self._wake_writer()
        if self._task is not None:
            await self._task
        self.feed.wake()

    async def close(self) -> None:
        """Drains, and gives the log free."""
        await self.drain()
        # After a failure the state may be ahead of the disk, and must not be kept.
        await self._history.close(keep=self._failure is None)
        await self._journal.close()

    def _shutting_down(self) -> Refused:
        return Refused(
            errors_pb2.ERROR_REASON_SHUTTING_DOWN,
            retry_after_seconds=self._limits.retry_after_seconds,
        )

    def _disk_full(self) -> Refused:
        return Refused(
            errors_pb2.ERROR_REASON_DISK_FULL, retry_after_seconds=1.0, namespace=self.name
        )

    def _wake_writer(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        try:
            while True:
                if not self._queue:
                    if self._closing:
                        return
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
                    continue
                await self._run_round(self._queue.take_round())
        except BaseException as error:
            self._fail(error)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _run_round(self, frames: list[Frame]) -> None:
        self._committing = True
        self._frames_in_round = frames
        time_us = self.now_us()
        # Entries from disk that repeated request ids of this round need.
        loaded: dict[int, StoredEntry] = {}
        builder = RoundBuilder(
            self._kernel,
            self._history.state,
            self._history.requests,
            self.head,
            time_us,
            f"{time_us:x}{secrets.token_hex(4)}-",
            lambda position: loaded.get(position) or self.feed.entry(position),
        )
        outcomes = await self._decide(builder, frames, loaded)
        record = builder.seal()
        if record is not None:
            try:
                await self._journal.append(record)
            except NoRoom as error:
                outcomes = await self._take_back(frames, error)
            else:
                self._history.advance(record, time_us)
                self.feed.publish(record)
                await self._history.checkpoint()
        self._committing = False
        for frame, frame_outcomes in zip(frames, outcomes, strict=True):
            if not frame.outcomes.done():
                frame.outcomes.set_result(frame_outcomes)
        self._frames_in_round = []
        if self._on_round is not None:
            self._on_round(self.name, frames, outcomes)
        self._run_reads()

    async def _decide(
        self, builder: RoundBuilder, frames: list[Frame], loaded: dict[int, StoredEntry]
    ) -> list[list[Outcome]]:
        """Decides every command of a round, in order, with a breath for the loop now and then."""
        decided = 0
        outcomes: list[list[Outcome]] = []
        for frame in frames:
            frame_outcomes: list[Outcome] = []
            for command in frame.commands:
                if isinstance(command, Refused):
                    frame_outcomes.append(command)
                    continue
                try:
                    outcome = builder.run(command, frame.caller)
                except EntryNeeded as needed:
                    loaded.update(await self._load_round(needed.position))
                    outcome = builder.run(command, frame.caller)
                frame_outcomes.append(outcome)
                decided += 1
                if decided % COMMANDS_BETWEEN_YIELDS == 0:
                    await asyncio.sleep(0)
            outcomes.append(frame_outcomes)
        return outcomes

    async def _take_back(self, frames: list[Frame], error: NoRoom) -> list[list[Outcome]]:
        """Forgets a round that found no room: the state is loaded as the log has it."""
        _log.error("disk_full", namespace=self.name, description=str(error))
        await self._history.settle()
        # Readers of the log go by the old one until the new one is complete.
        history = History(self.name, self._kernel)
        await history.load(self._journal, self._checkpoint, self._limits.checkpoint_entries)
        self._history = history
        self._is_full = True
        return [[self._disk_full()] * len(frame.commands) for frame in frames]

    async def _load_round(self, position: int) -> dict[int, StoredEntry]:
        """Returns the entries, by position, of the durable round that holds `position`."""
        async for record in self._journal.read(position):
            entries = StoredRound.FromString(record.data).entries
            return {entry.entry.position: entry for entry in entries}
        raise Corrupt(f"namespace {self.name}: no round holds position {position}")

    def _run_reads(self) -> None:
        reads, self._reads = self._reads, []
        for answer, future in reads:
            if future.done():
                continue
            try:
                future.set_result(answer(self._history.state))
            except Damaged:
                self._reads.append((answer, future))  # fails with all that wait
                raise
            except Exception as error:
                future.set_exception(error)

    def _fail(self, error: BaseException) -> Refused:
        """Stops for good: what is pending may or may not be durable, and nothing may show it."""
        self._failure = Refused(
            errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN,
            retry_after_seconds=1.0,
            description=f"{type(error).__name__}: {error}",
        )
        for frame in [*self._frames_in_round, *self._queue.take_all()]:
            if not frame.outcomes.done():
                frame.outcomes.set_exception(self._failure)
                frame.outcomes.exception()  # taken note of: the caller may be gone
        for _answer, future in self._reads:
            if not future.done():
                future.set_exception(self._failure)
        self._reads.clear()
        self.feed.wake()
        _log.critical("writer_stopped", namespace=self.name, exc_info=error)
        self._on_fatal(self.name, error)
        return self._failure
