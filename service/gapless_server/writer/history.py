"""What a namespace knows of its log: the state, the request ids, and the newest position.

A start takes the last checkpoint and replays the rest of the log on top of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gapless_server.checkpoint.port import Checkpoint, CheckpointHead, Damaged
from gapless_server.core.kernel import Kernel
from gapless_server.core.state import Moment
from gapless_server.core.times import from_timestamp
from gapless_server.journal.port import EMPTY_HEAD, Corrupt, Head, Journal, Round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.checkpointer import NOTHING, Amount, Checkpointer
from gapless_server.writer.clock import LogTime
from gapless_server.writer.erasure import Attestations
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.log_reader import round_at
from gapless_server.writer.requests import RequestIndex, request_key

# After so many entries a replay lets the event loop breathe, about every 10 ms.
ENTRIES_BETWEEN_YIELDS = 500
# The last microsecond of the year 9999, up to which a timestamp goes.
TIME_US_MAX = 253_402_300_799_999_999


class _Senseless(Corrupt):
    """A round that is in the chain, and holds what no service can have written."""


class History:
    """The state and the request ids of a log, up to `head`; the writer runs them ahead of it."""

    def __init__(self, name: str, kernel: Kernel) -> None:
        self._name = name
        self._kernel = kernel
        self._checkpointer: Checkpointer | None = None
        self.state = kernel.new_state()
        self.requests = RequestIndex()
        self.head = EMPTY_HEAD
        self.head_time = LogTime(0, 0)
        self._attestations = Attestations()
        # Since the checkpointer was last told.
        self._since = NOTHING

    async def load(
        self, journal: Journal, checkpoint: Checkpoint | None, limits: WriterLimits
    ) -> None:
        """Brings everything up to the head of the journal.

        Checkpoints are written as the limits say from now on. Raises Corrupt where the chain of
        the log is broken, or where the log ends before its checkpoint, and JournalError where there
        is far more to replay than memory should hold, and no checkpoint of it can be written.
        """
        try:
            await self._load(journal, checkpoint, limits)
        except BaseException:
            # Whoever opened the checkpoint closes it now, and not while it is being written.
            await self.settle()
            raise

    def advance(self, record: Round, time: LogTime) -> None:
        """Takes note that a round, whose events the state has, is durable."""
        entries = record.last_position - self.head.position
        self._since = self._since.plus(Amount(entries, len(record.data)))
        self.head = Head(record.last_position, record.chain_hash)
        self.head_time = time

    async def checkpoint(self) -> None:
        """Writes a checkpoint if one is due; waits only for one that is far behind.

        The state must have the events of the durable rounds and no others. Raises Damaged if the
        last one could not be written for that.
        """
        since, self._since = self._since, NOTHING
        if self._checkpointer is not None:
            await self._checkpointer.committed(since, self._checkpoint_head())

    async def room(self, is_wanted: Callable[[], bool]) -> None:
        """Returns once memory has room for a round, or as soon as that is not wanted any more."""
        if self._checkpointer is not None:
            await self._checkpointer.room(is_wanted)

    async def checkpoint_now(self) -> None:
        """Begins to write a checkpoint, as soon as none is being written."""
        self._since = NOTHING
        if self._checkpointer is not None:
            await self._checkpointer.begin_now(self._checkpoint_head())

    async def scrub(self, position: int, is_committing: Callable[[], bool]) -> bool:
        """Overwrites old pages of the checkpoint; False if it has not come to a position yet.

        A checkpoint that could not be written is then tried again, unless a round is under way.
        """
        checkpointer = self._checkpointer
        if checkpointer is None or await checkpointer.scrub(position):
            return True
        if not checkpointer.has_come_to(position) and not is_committing():
            checkpointer.begin_again(self._checkpoint_head())
        return False

    async def settle(self) -> None:
        """Returns once no checkpoint is being written."""
        if self._checkpointer is not None:
            await self._checkpointer.settle()

    async def close(self, *, keep: bool) -> None:
        """Closes the checkpoint, after a last write if `keep` is set."""
        if self._checkpointer is not None:
            await self._checkpointer.close(self._checkpoint_head() if keep else None)

    def _checkpoint_head(self) -> CheckpointHead:
        return CheckpointHead(self.head, self.head_time.time_us, self.head_time.uptime_us)

    async def _load(
        self, journal: Journal, checkpoint: Checkpoint | None, limits: WriterLimits
    ) -> None:
        if checkpoint is not None:
            await self._take_over(journal, checkpoint)
            between = Amount(limits.checkpoint_entries, limits.checkpoint_bytes)
            self._checkpointer = Checkpointer(checkpoint, self.state, self.requests, between)
        await self._replay_tail(journal)
        if self.head != journal.head:
            raise Corrupt(f"namespace {self._name}: the log ends at {self.head.position}")
        self._kernel.set_alarms(self.state)

    async def _take_over(self, journal: Journal, checkpoint: Checkpoint) -> None:
        at = checkpoint.at
        self.head, self.head_time = at.head, LogTime(at.time_us, at.uptime_us)
        if self.head.position > journal.head.position:
            raise Corrupt(
                f"namespace {self._name}: the log ends at position {journal.head.position}, but"
                f" its checkpoint stands at {self.head.position}: entries were lost"
            )
        if self.head.position:
            record = await round_at(journal, self.head.position)
            if Head(record.last_position, record.chain_hash) != self.head:
                raise Corrupt(
                    f"namespace {self._name}: the log is not the one that the checkpoint at"
                    f" position {self.head.position} was made of"
                )
        self.state.attach(checkpoint)
        await checkpoint.load_requests(self.requests)

    async def _replay_tail(self, journal: Journal) -> None:
        """Replays what is not in the checkpoint; rewritten rounds must be as the log says."""
        try:
            async for record in journal.read(self.head.position + 1):
                await self._replay_round(record)
        except _Senseless as error:
            # What a rewritten round says is known to be right only at the end.
            if self._attestations.wrong():
                raise self._wrongly_rewritten() from error
            raise
        if self._attestations.wrong():
            raise self._wrongly_rewritten()

    def _wrongly_rewritten(self) -> Corrupt:
        return Corrupt(
            f"namespace {self._name}: the round at position {self._attestations.wrong()[0]} was"
            " rewritten, and is not what the log says that it is since"
        )

    async def _replay_round(self, record: Round) -> None:
        if not record.follows(self.head):
            raise Corrupt(
                f"namespace {self._name}: the round at position {record.first_position} does not"
                f" continue the chain after position {self.head.position}"
            )
        try:
            time = await self._replay_entries(record)
        except Damaged:
            raise
        except Exception as error:
            # Whatever it is that such bytes bring about.
            raise _Senseless(
                f"namespace {self._name}: the round of positions {record.first_position} to"
                f" {record.last_position} is in the chain, but cannot be what was committed:"
                f" {type(error).__name__}: {error}"
            ) from error
        self.advance(record, time)
        await self.checkpoint()
        if self._checkpointer is not None:
            self._checkpointer.require_room()

    async def _replay_entries(self, record: Round) -> LogTime:
        """Applies the entries of a round; returns the time of the last one."""
        stored_round = StoredRound.FromString(record.data)
        self._attestations.observe(record, stored_round)
        entries = stored_round.entries
        if len(entries) != record.last_position - record.first_position + 1:
            raise ValueError(f"it holds {len(entries)} entries")
        time = self.head_time
        for index, stored in enumerate(entries):
            if stored.entry.position != record.first_position + index:
                raise ValueError(f"it holds position {stored.entry.position}")
            time = self._replay_entry(stored, stored_round.uptime_us, time)
            if (index + 1) % ENTRIES_BETWEEN_YIELDS == 0:
                await asyncio.sleep(0)
        return time

    def _replay_entry(self, stored: StoredEntry, uptime_us: int, before: LogTime) -> LogTime:
        entry = stored.entry
        time = LogTime(from_timestamp(entry.commit_time), uptime_us)
        if not (
            before.time_us <= time.time_us <= TIME_US_MAX
            and before.uptime_us <= uptime_us <= TIME_US_MAX
        ):
            raise ValueError(
                f"position {entry.position} has the times {tuple(time)}, which do not follow"
                f" {tuple(before)} (G11)"
            )
        moment = Moment(entry.position, time.time_us, time.uptime_us)
        self._kernel.replay(self.state, entry.events, moment)
        if entry.request_id:
            self.requests.put(request_key(stored.caller, entry.request_id), entry.position)
        return time
