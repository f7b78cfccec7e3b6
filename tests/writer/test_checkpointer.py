"""What a checkpoint does beside its file: rows that nobody needs any more are let go of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from gapless_server.checkpoint.port import CheckpointHead
from gapless_server.core.state import PartitionedTable, State, UndoLog
from gapless_server.writer.checkpointer import Amount, Checkpointer
from gapless_server.writer.requests import RequestIndex

ROWS = 2_000


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
