"""A namespace: one log, one writer task, the state that is visible, and those who wait for it.

The state in memory runs ahead of the disk while a round is being committed. Nothing shows it
then (G2): answers wait in their frames, and reads wait in a list until the round is durable.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Generator, Sequence

import structlog

from gapless.v1 import errors_pb2
from gapless_server.checkpoint.port import Checkpoint, Damaged
from gapless_server.core.kernel import Kernel, whole_answer
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.journal.port import Corrupt, Head, Journal, NoRoom, NotKept
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from gapless_server.writer.breath import Breath, Sharing
from gapless_server.writer.clock import LogClock, LogTime
from gapless_server.writer.deciding import Decided, RoundDecider
from gapless_server.writer.erasure import Rewriting
from gapless_server.writer.feed import CommittedRound, Feed
from gapless_server.writer.gathering import Gathering
from gapless_server.writer.history import History
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.lines import Lines, earlier
from gapless_server.writer.log_reader import LogReader, disk_full
from gapless_server.writer.queue import Frame, FrameQueue
from gapless_server.writer.reads import Answer, Reads
from gapless_server.writer.requests import request_key
from gapless_server.writer.rounds import RoundBuilder
from gapless_server.writer.scrubber import Scrubber

_log = structlog.get_logger()

# How long a writer whose log takes no round leaves what is due undone before it tries again.
RETRY_US = 1_000_000

# Told of the frames of a round, once their outcomes are final. Must not fail.
OnRound = Callable[[str, Sequence[Decided]], None]


class Namespace:
    """An open namespace. Made by `open`; every method belongs to the event loop it was made on."""

    def __init__(
        self,
        name: str,
        kernel: Kernel,
        journal: Journal,
        clock: LogClock,
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
        self._sharing = Sharing()
        self._history = History(name, kernel)
        self._checkpoint: Checkpoint | None = None
        self.feed = Feed(limits.feed_bytes_max)
        self._log_reader = LogReader(name, journal, self.feed, lambda: self.head.position)
        self._queue = FrameQueue(name, limits)
        self._gathering = Gathering(self._queue)
        self._lines = Lines(name, limits)
        self._scrubber = Scrubber(
            name, journal, lambda position: self._history.scrub(position, lambda: self._committing)
        )
        # What is being decided or committed: whose outcomes are still to come.
        self._frames_in_round: list[Frame] = []
        self._decided: list[Decided] = []
        self._wake: asyncio.Future[None] | None = None
        self._committing = False
        self._reads = Reads()
        self._closing = False
        self._is_full = False
        # Before this nothing is tried that no caller asked for.
        self._retry_uptime_us = 0
        self._failure: Refused | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        name: str,
        kernel: Kernel,
        journal: Journal,
        clock: LogClock,
        limits: WriterLimits,
        on_fatal: Callable[[str, BaseException], None],
        on_round: OnRound | None = None,
        checkpoint: Checkpoint | None = None,
        sharing: Sharing | None = None,
    ) -> Namespace:
        """Loads the log and starts the writer; all on a loop have one `sharing`. Raises Corrupt."""
        namespace = cls(name, kernel, journal, clock, limits, on_fatal, on_round)
        namespace._sharing = sharing or namespace._sharing
        namespace._checkpoint = checkpoint
        await namespace._history.load(journal, checkpoint, limits)
        clock.resume(namespace._history.head_time)
        if journal.erasure_pending:
            await namespace._scrub_from_now()
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
        return self._history.head_time.time_us

    @property
    def erasure_pending(self) -> bool:
        """Whether old pages of the files may still hold what was erased."""
        return self._journal.erasure_pending

    @property
    def exists(self) -> bool:
        """True once a command has been committed."""
        return self.head.position > 0

    def now(self) -> Moment:
        """Returns the moment that the next entry would get: never before the newest entry."""
        return Moment(self.head.position + 1, *self._clock.now())

    def submit(self, frame: Frame) -> None:
        """Queues a frame. Raises Refused if the queue is full or the namespace stops.

        It is dropped if its outcomes are cancelled before its round begins; from then on it is run,
        whether anybody still waits for it or not.
        """
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise self._shutting_down()
        if self._is_still_full():
            raise disk_full(self.name)
        self._queue.put(frame)
        self._wake_writer()

    async def read(self, answer: Callable[[State], Answer]) -> Answer:
        """Returns what `answer` makes of the state, at a moment when all of it is durable.

        Everything that was acknowledged before the call is in it (G4). Raises what `answer`
        raises.
        """
        return self.answer(answer) if self.reads_at_once() else await self._reads.wait(answer)

    def reads_at_once(self) -> bool:
        """Says whether a read need not wait, as all that it would show is durable. May refuse."""
        if self._failure is not None:
            raise self._failure
        if self._something_is_due() and not self._closing:
            self._wake_writer()
            return False
        return not self._committing

    def answer(self, answer: Callable[[State], Answer]) -> Answer:
        """Returns what `read` would, right after `reads_at_once` has said yes."""
        try:
            return answer(self._history.state)
        except Damaged as error:
            raise self._fail(error) from error

    async def read_in_steps(
        self, answer: Callable[[State], Generator[None, None, Answer]]
    ) -> Answer:
        """Returns what the steps come to, as `read`; nothing is decided before they have ended."""
        if self._failure is not None:
            raise self._failure
        if self._task is None or self._task.done():
            return await self.read(lambda state: whole_answer(answer(state)))
        self._wake_writer()
        return await self._reads.wait_for_steps(answer)

    async def reached(self, position: int) -> None:
        """Returns when the log has at least this position.

        Raises Refused if it never will, or does not within the limit: a log that was restored
        may not have a position that its clients have seen.
        """
        if self.head.position >= position:
            return
        try:
            async with asyncio.timeout(self._limits.min_position_seconds_max):
                await self._wait_for(position)
        except TimeoutError:
            raise Refused(
                errors_pb2.ERROR_REASON_POSITION_NOT_REACHED,
                namespace=self.name,
                head_position=self.head.position,
                incarnation=self.incarnation,
                min_position=position,
                seconds=f"{self._limits.min_position_seconds_max:g}",
            ) from None

    async def entry_of_request(self, caller: str, request_id: str) -> StoredEntry | None:
        """Returns the durable entry of a request id, or None if none was committed."""
        key = request_key(caller, request_id)
        position = await self.read(lambda _state: self._history.requests.get(key))
        if position is None:
            return None
        if (stored := self.feed.entry(position)) is None:
            stored = (await self._log_reader.entries_at(position))[position]
        return stored if request_key(stored.caller, stored.entry.request_id) == key else None

    def rounds_from(self, position: int) -> AsyncIterator[CommittedRound]:
        """Yields the durable rounds from the one that holds `position` on, up to the head."""
        return self._log_reader.rounds_from(position)

    async def drain(self) -> None:
        """Refuses what comes from now on, and commits and answers what is queued."""
        self._closing = True
        self._lines.refuse_all(self._shutting_down())
        self._wake_writer()
        if self._task is not None:
            await self._task
        self.feed.wake()

    async def close(self, *, keep: bool = True) -> None:
        """Drains, and gives the log free; writes a last checkpoint before that if `keep` is set."""
        await self.drain()
        await self._scrubber.stop()
        # After a failure the state may be ahead of the disk, and must not be kept.
        await self._history.close(keep=keep and self._failure is None)
        await self._journal.close()

    async def _wait_for(self, position: int) -> None:
        while self.head.position < position:
            if self._failure is not None:
                raise self._failure
            if self._task is None or self._task.done():
                raise self._shutting_down()
            await self.feed.news()

    def _shutting_down(self) -> Refused:
        return Refused(
            errors_pb2.ERROR_REASON_SHUTTING_DOWN,
            retry_after_seconds=self._limits.retry_after_seconds,
        )

    def _wake_writer(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        try:
            while True:
                if self._queue or self._reads or (not self._closing and self._something_is_due()):
                    await self._gathering.wait()
                    await self._history.room(lambda: not self._closing)
                    await self._run_round(self._queue.take_round())
                elif self._closing:
                    return
                else:
                    await self._sleep()
        except BaseException as error:
            self._fail(error)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _sleep(self) -> None:
        """Returns once there is something to do."""
        self._wake = asyncio.get_running_loop().create_future()
        due_us = self._next_due_us()
        if due_us is None:
            await self._wake
            return
        alarm = self._clock.call_at_uptime(due_us, self._wake_writer)
        try:
            await self._wake
        finally:
            alarm.cancel()

    def _next_due_us(self) -> int | None:
        """Returns the uptime at which the writer has something to do by itself, or None."""
        due_us = earlier(self._history.state.alarms.next_us(), self._lines.next_end_us())
        return None if due_us is None else max(due_us, self._retry_uptime_us)

    def _something_is_due(self) -> bool:
        due_us = self._next_due_us()
        if due_us is None or due_us > (now_us := self._clock.now().uptime_us):
            return False
        if self._is_still_full():
            self._retry_uptime_us = now_us + RETRY_US
            return False
        return True

    def _is_still_full(self) -> bool:
        if self._is_full:
            self._is_full = not self._journal.has_room()
        return self._is_full

    async def _run_round(self, frames: list[Frame]) -> None:
        self._committing = True
        self._sharing.begin_round(self.name)
        self._frames_in_round = frames
        time = self._clock.now()
        # Entries from disk that repeated request ids of this round need.
        loaded: dict[int, StoredEntry] = {}
        builder = RoundBuilder(
            self._kernel,
            self._history.state,
            self._history.requests,
            self.head,
            time,
            f"{time.time_us:x}{secrets.token_hex(4)}-",
            lambda position: loaded.get(position) or self.feed.entry(position),
        )
        breath = Breath(self._sharing)
        decider = RoundDecider(
            builder, self._lines, self._log_reader.entries_at, loaded, self._limits, breath
        )
        decided = self._decided = decider.decided
        self._queue.put_back(await decider.decide(frames))
        try:
            await self._commit(builder, time)
        except (NotKept, Corrupt) as error:
            # No room, no file, or what the round erases lies in a round that is damaged.
            decided = await self._take_back(decided, self._log_reader.refusal(error))
            self._is_full = isinstance(error, NoRoom)
            self._retry_uptime_us = time.uptime_us + RETRY_US
        self._committing = False
        for frame, outcomes in decided:
            if not frame.outcomes.done():
                frame.outcomes.set_result(outcomes)
        self._sharing.end_round()
        self._frames_in_round, self._decided = [], []
        if self._on_round is not None:
            self._on_round(self.name, decided)
        await self._reads.answer_all(self._history.state)

    async def _commit(self, builder: RoundBuilder, time: LogTime) -> None:
        """Makes a round durable and known. Raises NotKept or Corrupt; then nothing is."""
        rewriting = Rewriting(self._journal, builder.erasures)
        rewritten = await rewriting.attested()
        if (record := builder.seal(rewritten)) is None:
            return
        if rewritten:
            await rewriting.commit(record, self.feed)
        else:
            await self._journal.append(record)
        self._history.advance(record, time)
        self.feed.publish(record)
        if rewritten:
            await self._scrub_from_now()
        await self._history.checkpoint()

    async def _scrub_from_now(self) -> None:
        """Lets nothing of what is erased at the head remain in the files."""
        await self._history.checkpoint_now()
        self._scrubber.start(self.head.position)

    async def _take_back(self, decided: list[Decided], refusal: Refused) -> list[Decided]:
        """Forgets a round of which nothing was kept: the state is loaded as the log has it."""
        await self._history.settle()
        # Readers of the log go by the old one until the new one is complete.
        history = History(self.name, self._kernel)
        await history.load(self._journal, self._checkpoint, self._limits)
        self._history = history
        self._lines.refuse_all(refusal)
        return [Decided(frame, [refusal] * len(frame.commands)) for frame, _outcomes in decided]

    def _fail(self, error: BaseException) -> Refused:
        """Stops for good: what is pending may or may not be durable, and nothing may show it."""
        self._failure = Refused(
            errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN,
            retry_after_seconds=1.0,
            description=f"{type(error).__name__}: {error}",
        )
        self._lines.refuse_all(self._failure)
        decided = [frame for frame, _outcomes in self._decided]
        for frame in [*self._frames_in_round, *decided, *self._queue.take_all()]:
            if not frame.outcomes.done():
                frame.outcomes.set_exception(self._failure)
                frame.outcomes.exception()  # taken note of: the caller may be gone
        self._reads.refuse_all(self._failure)
        self.feed.wake()
        self._on_fatal(self.name, error)
        _log.critical("writer_stopped", namespace=self.name, exc_info=error)
        return self._failure
