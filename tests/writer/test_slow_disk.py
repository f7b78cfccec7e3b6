"""While the disk keeps the writer waiting, what is shown is durable, and readers are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gapless_server.checkpoint.sqlite import SqliteCheckpoint
from gapless_server.journal.port import Corrupt, Journal, NoRoom, Round
from gapless_server.writer.clock import LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.writer.harness import (
    KERNEL,
    WrappedJournal,
    create,
    entries,
    frame_of,
    memory_journal,
    open_namespace,
    post,
    reason,
    run,
    sequence,
    settle,
)


class HeldCheckpoint(SqliteCheckpoint):
    """A checkpoint on a disk so slow that the test says when a write ends."""

    def __init__(self, path: Path, incarnation: str) -> None:
        super().__init__(path, incarnation)
        self.released = asyncio.Event()

    async def write(self, *changes: Any) -> None:
        await self.released.wait()
        await super().write(*changes)


async def test_g6_the_log_is_read_while_the_writer_waits_for_a_slow_checkpoint(
    tmp_path: Path,
) -> None:
    journal = await memory_journal()
    checkpoint = HeldCheckpoint(tmp_path / "test.state", journal.incarnation)
    limits = WriterLimits(checkpoint_entries=1)
    namespace = await Namespace.open(
        "test", KERNEL, journal, LogClock(ManualClock()), limits, lambda *_: None, None, checkpoint
    )
    await run(namespace, create())
    frames = [frame_of(post(f"p{n}")) for n in range(6)]
    for frame in frames:
        namespace.submit(frame)
        await settle()
    answered = [frame.outcomes.done() for frame in frames]

    seen = [entry.position for entry in await entries(namespace)]
    checkpoint.released.set()
    for frame in frames:
        await frame.outcomes

    assert not all(answered)  # the writer waits: what is in memory stays bounded
    assert seen == list(range(1, namespace.head.position - answered.count(False) + 2))
    assert [entry.position for entry in await entries(namespace)] == list(range(1, 8))
    await namespace.close()


class DamagedJournal(WrappedJournal):
    """A journal that gives one round back with another hash than it was written with."""

    damaged_position = 0

    async def read(self, from_position: int) -> AsyncIterator[Round]:
        async for record in super().read(from_position):
            if record.first_position == self.damaged_position:
                yield record._replace(chain_hash=bytes(32))
            else:
                yield record


class FullJournal(WrappedJournal):
    """A journal without room, whose log takes as long to read as the test says."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.is_full = False
        self.reading = asyncio.Event()
        self.released = asyncio.Event()

    def has_room(self) -> bool:
        return not self.is_full

    async def append(self, record: Round) -> None:
        if self.is_full:
            raise NoRoom("the disk is full")
        await super().append(record)

    async def read(self, from_position: int) -> AsyncIterator[Round]:
        if self.is_full:
            self.reading.set()
            await self.released.wait()
        async for record in super().read(from_position):
            yield record


async def test_g2_while_a_round_without_room_is_taken_back_the_log_is_as_long_as_before() -> None:
    journal = FullJournal(await memory_journal())
    namespace = await open_namespace(journal)
    await run(namespace, create(), post("p1"))
    journal.is_full = True
    frame = frame_of(post("p2"))
    namespace.submit(frame)

    await journal.reading.wait()
    head_meanwhile = namespace.head
    seen_meanwhile = [entry.position for entry in await entries(namespace)]
    journal.released.set()
    [refused] = await frame.outcomes
    journal.is_full = False
    [taken] = await run(namespace, post("p2"))

    assert head_meanwhile.position == 2
    assert seen_meanwhile == [1, 2]
    assert reason(refused) == "DISK_FULL"
    assert sequence(taken) == 2
    await namespace.close()


async def test_a_log_found_damaged_is_let_go_only_when_its_checkpoint_is_written(
    tmp_path: Path,
) -> None:
    """A start writes checkpoints along the way; the file is not to be closed under a write."""
    journal = DamagedJournal(await memory_journal())
    whole = await open_namespace(journal)
    for n in range(5):
        await run(whole, create(f"c{n}", channel_id=f"c{n}"))
    await whole.drain()
    journal.damaged_position = 4
    checkpoint = HeldCheckpoint(tmp_path / "test.state", journal.incarnation)
    limits = WriterLimits(checkpoint_entries=1)

    opening = asyncio.create_task(
        Namespace.open(
            "test",
            KERNEL,
            journal,
            LogClock(ManualClock()),
            limits,
            lambda *_: None,
            None,
            checkpoint,
        )
    )
    await settle()
    over_while_writing = opening.done()
    checkpoint.released.set()

    with pytest.raises(Corrupt, match="does not continue the chain"):
        await opening
    assert not over_while_writing
    await checkpoint.close()
