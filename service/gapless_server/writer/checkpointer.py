"""Moves the checkpoint of a namespace forward, beside the commits, and never in their way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import structlog

from gapless_server.checkpoint.port import (
    REQUEST_SHARDS,
    Checkpoint,
    CheckpointHead,
    Damaged,
    RequestPairs,
    RequestShard,
)
from gapless_server.core.layers import take_apart
from gapless_server.core.state import State
from gapless_server.journal.port import JournalError
from gapless_server.writer.requests import RequestIndex

_log = structlog.get_logger()

# If a checkpoint takes so much longer than the next one comes due, rounds wait for it: what is in
# memory stays bounded.
PATIENCE = 2
# All shards of the request index, a few with each checkpoint, are written anew while this part of
# it comes, or while so many come: what a start has to add to them one by one is at most twice that.
# More often, their images would be most of what is written; more rarely, a start would take longer.
IMAGE_PART = 8
IMAGE_REQUESTS_MIN = 50_000
# A checkpoint that could not be written is tried again after so long, then after twice that, and so
# on: each try writes all that came since, and rounds may have to wait for it.
RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 60.0
# If it cannot be written at all, rounds wait once so many times what is due has come since.
FAILED_PATIENCE = 8
# A start gives up there: what a writer that waits has left behind can always be opened again.
START_PATIENCE = 2 * FAILED_PATIENCE
# How soon a round that waits so is given up, once it is not wanted any more.
LOOK_SECONDS = 0.5


class Amount(NamedTuple):
    """So much of a log."""

    entries: int
    size_bytes: int

    def plus(self, other: Amount) -> Amount:
        """Returns both together."""
        return Amount(self.entries + other.entries, self.size_bytes + other.size_bytes)

    def reaches(self, other: Amount, times: int = 1) -> bool:
        """Whether it is so many times the other, in entries or in bytes."""
        return self.entries >= times * other.entries or self.size_bytes >= times * other.size_bytes


NOTHING = Amount(0, 0)


class _Frozen(NamedTuple):
    """What one checkpoint has to write, beside the frozen rows of the state."""

    at: CheckpointHead
    requests: RequestPairs
    shards: list[RequestShard]


class Checkpointer:
    """Knows how far the checkpoint is behind, and writes it in the background.

    A checkpoint that cannot be written is tried again: the log has everything. One that is found
    damaged is not, as what it lacks would be in memory for good: whoever calls next hears of it.
    """

    def __init__(
        self, checkpoint: Checkpoint, state: State, requests: RequestIndex, between: Amount
    ) -> None:
        self._checkpoint = checkpoint
        self._state = state
        self._requests = requests
        # A checkpoint is due after so much, of which the rows are in memory until then.
        self._between = between
        self._since = NOTHING
        # What came since shards were written last, and which of them is the next.
        self._requests_since_shards = 0
        self._next_shard = 0
        self._frozen: _Frozen | None = None
        self._task: asyncio.Task[None] | None = None
        self._damage: Damaged | None = None
        # How long after a failure the next try comes, and when, in the time of the loop.
        self._retry_seconds = RETRY_SECONDS_MIN
        self._retry_at = 0.0
        # Why.
        self._failure = ""

    async def committed(self, amount: Amount, at: CheckpointHead) -> None:
        """Takes note of a durable round that ends at `at`; nothing of a later one is decided.

        Raises Damaged.
        """
        self._require_sound()
        self._since = self._since.plus(amount)
        if not self._since.reaches(self._between):
            return
        if self._is_writing():
            if not self._since.reaches(self._between, PATIENCE):
                return
            await self.settle()
            self._require_sound()
        if not self._has_to_wait():
            self._begin(at)

    async def room(self, is_wanted: Callable[[], bool]) -> None:
        """Returns once memory has room for a round, or as soon as that is not wanted any more.

        It has none while far too much has come since a checkpoint that cannot be written.
        """
        if not self._is_behind(FAILED_PATIENCE):
            return
        _log.error("writer_waits_for_checkpoint", entries=self._since.entries)
        while self._is_behind(FAILED_PATIENCE) and is_wanted():
            if self._has_to_wait():
                await asyncio.sleep(LOOK_SECONDS)
            else:
                # What is frozen is what could not be written; `at` does not matter then.
                await asyncio.wait([self._begin(CheckpointHead())])

    def require_room(self) -> None:
        """Raises JournalError once a start would have to keep too much of the log in memory."""
        if self._is_behind(START_PATIENCE):
            raise JournalError(
                f"its checkpoint cannot be written ({self._failure}), and the"
                f" {self._since.entries} entries since would have to be kept in memory; make the"
                " checkpoint's file writable, or give its disk room, and ask again"
            )

    def _is_behind(self, times: int) -> bool:
        """Whether so many times what is due has come since a checkpoint that failed."""
        is_failing = self._frozen is not None and self._damage is None
        return is_failing and self._since.reaches(self._between, times)

    async def begin_now(self, at: CheckpointHead) -> None:
        """Begins to write the state as it is at `at`, after what is being written.

        Raises Damaged.
        """
        await self.settle()
        self._require_sound()
        if self._frozen is not None:
            await asyncio.wait([self._begin(at)])
            self._require_sound()
        if self._frozen is None:
            self._begin(at)

    async def scrub(self, position: int) -> bool:
        """Overwrites old pages; False if the checkpoint has not come to a position yet.

        Nor does one that is damaged: the next start makes it anew.
        """
        await self.settle()
        if self._damage is not None or not self.has_come_to(position):
            return False
        try:
            return await self._checkpoint.scrub()
        except Damaged as error:
            self._note_damage(error)
            return False

    def has_come_to(self, position: int) -> bool:
        """Whether the checkpoint stands at a position, or after it."""
        return self._checkpoint.at.head.position >= position

    def begin_again(self, at: CheckpointHead) -> None:
        """Begins to write what could not be written, or the state as it is at `at`.

        Nothing of a round after `at` may be decided. Does nothing while one is being written, or
        while it is too soon after a failure.
        """
        if not self._is_writing() and self._damage is None and not self._has_to_wait():
            self._begin(at)

    async def settle(self) -> None:
        """Returns once no checkpoint is being written."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self, at: CheckpointHead | None) -> None:
        """Closes the checkpoint; before that it is brought to `at`, if given."""
        await self.settle()
        # Twice, if a write that failed has to be made up for first.
        for _ in range(2):
            is_behind = self._since.entries or self._frozen is not None
            if at is not None and is_behind and self._damage is None:
                await asyncio.wait([self._begin(at)])
        await self._checkpoint.close()

    def _begin(self, at: CheckpointHead) -> asyncio.Task[None]:
        """Starts to write the state as it is at `at`, or else what is still frozen.

        Where something is being written, that is all: a checkpoint that two write at once would be
        written a last time over the one after it.
        """
        if self._is_writing():
            assert self._task is not None
            return self._task
        if self._frozen is None:
            self._state.freeze()
            self._frozen = self._with_requests(at)
            self._since = NOTHING
        self._task = asyncio.create_task(self._write(self._frozen), name="checkpoint")
        return self._task

    def _with_requests(self, at: CheckpointHead) -> _Frozen:
        unsaved = self._requests.take_unsaved()
        self._requests_since_shards += len(unsaved.pairs) // 2
        requests_a_turn = max(IMAGE_REQUESTS_MIN, len(self._requests) // IMAGE_PART)
        due = REQUEST_SHARDS * self._requests_since_shards // requests_a_turn
        if due:
            self._requests_since_shards = 0
        shards = []
        for _ in range(min(due, REQUEST_SHARDS)):
            shards.append(self._requests.shard(self._next_shard))
            self._next_shard = (self._next_shard + 1) % REQUEST_SHARDS
        return _Frozen(at, unsaved, shards)

    async def _write(self, frozen: _Frozen) -> None:
        try:
            await self._checkpoint.write(
                frozen.at, self._state.frozen_rows(), frozen.requests, frozen.shards
            )
        except Damaged as error:
            self._note_damage(error)
            return
        except Exception as error:
            # Whatever it is: nobody waits for this task to say so, and the log has everything.
            is_known = isinstance(error, (sqlite3.Error, OSError))
            _log.error("checkpoint_failed", description=str(error), exc_info=not is_known)
            self._failure = str(error) or type(error).__name__
            self._retry_at = asyncio.get_running_loop().time() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)
            return
        self._retry_seconds = RETRY_SECONDS_MIN
        dropped = self._state.thaw()
        self._frozen = None
        await asyncio.to_thread(take_apart, dropped)

    def _is_writing(self) -> bool:
        return self._task is not None and not self._task.done()

    def _has_to_wait(self) -> bool:
        """Whether the last try failed, not long ago."""
        return self._frozen is not None and asyncio.get_running_loop().time() < self._retry_at

    def _note_damage(self, error: Damaged) -> None:
        _log.error("checkpoint_damaged", description=str(error))
        self._damage = error

    def _require_sound(self) -> None:
        if self._damage is not None:
            raise self._damage
