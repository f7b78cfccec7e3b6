"""What a checkpoint does beside its file: it lets go of rows, and says what keeps it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gapless_server.checkpoint.port import CheckpointHead, Damaged
from gapless_server.core.state import PartitionedTable, State, UndoLog
from gapless_server.writer.checkpointer import (
    FAILED_PATIENCE,
    RETRY_SECONDS_MIN,
    Amount,
    Checkpointer,
)
from gapless_server.writer.requests import RequestIndex

ROWS = 2_000
# A hang must end the test.
SECONDS_MAX = 20.0


class Unwritten:
    """A checkpoint that keeps nothing."""

    at = CheckpointHead()

    async def write(self, *_changes: Any) -> None:
        pass

    async def close(self) -> None:
        pass

    def get(self, _table: str, _key: bytes) -> bytes | None:
        return None

    def scan(self, *_range: Any, **_order: Any) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


class Row:
    """A row that notes which thread frees it."""

    freed_by: list[int]

    def __del__(self) -> None:
        self.freed_by.append(threading.get_ident())


class Tables:
    def __init__(self, undo: UndoLog) -> None:
        self.rows: PartitionedTable[str, int, Row] = PartitionedTable(undo, Row)


async def test_g7_rows_that_are_not_needed_any_more_do_not_hold_up_the_loop_when_they_go() -> None:
    Row.freed_by = []
    checkpoint: Any = Unwritten()
    state = State([Tables])
    state.attach(checkpoint)
    checkpointer = Checkpointer(checkpoint, state, RequestIndex(), Amount(1, 1))
    for number in range(ROWS):
        state.of(Tables).rows.put("one", number, Row())
        state.of(Tables).rows.put(f"of {number}", 0, Row())

    await checkpointer.begin_now(CheckpointHead())
    await checkpointer.settle()
    # They are a cache now, until the next checkpoint is written.
    freed_at_first = len(Row.freed_by)
    await checkpointer.begin_now(CheckpointHead())
    await checkpointer.settle()

    assert freed_at_first == 0
    assert len(Row.freed_by) == 2 * ROWS
    assert threading.get_ident() not in Row.freed_by


class Failing(Unwritten):
    """A checkpoint that cannot be written while it has a fault."""

    def __init__(self, fault: Exception) -> None:
        self.fault: Exception | None = fault
        self.tries = 0
        self.written = 0

    async def write(self, *_changes: Any) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        self.written += 1

    async def scrub(self) -> bool:
        if self.fault is not None:
            raise self.fault
        return True


def checkpointer_of(checkpoint: Any) -> Checkpointer:
    state = State([Tables])
    state.attach(checkpoint)
    return Checkpointer(checkpoint, state, RequestIndex(), Amount(1, 1))


@pytest.mark.parametrize("fault", [OSError("no room"), RuntimeError("nobody thought of this")])
async def test_g7_a_checkpoint_that_cannot_be_written_is_tried_again_but_not_by_every_round(
    fault: Exception,
) -> None:
    checkpoint = Failing(fault)
    checkpointer = checkpointer_of(checkpoint)
    for _ in range(20):
        await checkpointer.committed(Amount(1, 1), CheckpointHead())
        await checkpointer.settle()
    tries_at_first = checkpoint.tries
    checkpoint.fault = None

    async with asyncio.timeout(SECONDS_MAX):
        while not checkpoint.written:
            await checkpointer.committed(Amount(1, 1), CheckpointHead())
            await asyncio.sleep(RETRY_SECONDS_MIN / 20)  # real: the time until the next try

    assert tries_at_first == 1
    assert checkpointer._task is not None
    await checkpointer.settle()
    assert checkpointer._task.exception() is None
    await checkpointer.close(None)


async def too_much_since_a_failure(checkpoint: Failing) -> Checkpointer:
    checkpointer = checkpointer_of(checkpoint)
    for _ in range(1 + FAILED_PATIENCE):
        assert await has_room(checkpointer)
        await checkpointer.committed(Amount(1, 1), CheckpointHead())
        await checkpointer.settle()
    return checkpointer


async def has_room(checkpointer: Checkpointer) -> bool:
    """Whether a round would not have to wait at all."""
    try:
        checkpointer.room(lambda: True).send(None)
    except StopIteration:
        return True
    return False


async def test_g7_rounds_wait_once_too_much_came_since_a_checkpoint_that_cannot_be_written() -> (
    None
):
    checkpoint = Failing(OSError("a bad sector"))
    checkpointer = await too_much_since_a_failure(checkpoint)
    assert not await has_room(checkpointer)

    checkpoint.fault = None
    async with asyncio.timeout(SECONDS_MAX):
        await checkpointer.room(lambda: True)

    assert checkpoint.written == 1
    assert await has_room(checkpointer)


async def test_a_round_that_waits_for_a_checkpoint_does_not_hold_up_the_end_of_the_writer() -> None:
    checkpointer = await too_much_since_a_failure(Failing(OSError("a bad sector")))
    wanted = iter([True, True, False])

    async with asyncio.timeout(SECONDS_MAX):
        await checkpointer.room(lambda: next(wanted))

    assert next(wanted, None) is None
    await checkpointer.close(None)


async def test_c2_a_checkpoint_that_is_damaged_is_reported_and_not_tried_again() -> None:
    checkpoint = Failing(Damaged("a row"))
    checkpointer = checkpointer_of(checkpoint)
    await checkpointer.committed(Amount(1, 1), CheckpointHead())
    await checkpointer.settle()

    with pytest.raises(Damaged, match="a row"):
        await checkpointer.committed(Amount(1, 1), CheckpointHead())
    with pytest.raises(Damaged, match="a row"):
        await checkpointer.begin_now(CheckpointHead())
    assert not await checkpointer.scrub(0)
    checkpointer.begin_again(CheckpointHead())
    await checkpointer.close(CheckpointHead())

    assert checkpoint.tries == 1


async def test_c2_a_checkpoint_that_a_scrub_finds_damaged_is_reported_to_the_next_round() -> None:
    checkpointer = checkpointer_of(Failing(Damaged("a page")))

    assert not await checkpointer.scrub(0)

    with pytest.raises(Damaged, match="a page"):
        await checkpointer.committed(Amount(1, 1), CheckpointHead())
    await checkpointer.close(CheckpointHead())
