"""A checkpoint is written once at a time, whoever asks for it (G10)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gapless_server.checkpoint.port import CheckpointHead
from gapless_server.checkpoint.sqlite import SqliteCheckpoint
from gapless_server.journal.port import Head
from gapless_server.writer import checkpointer as checkpointers
from gapless_server.writer.checkpointer import FAILED_PATIENCE, Amount, Checkpointer
from gapless_server.writer.requests import RequestIndex
from tests.writer.harness import KERNEL, settle

BETWEEN = Amount(entries=1, size_bytes=2**40)
# A hang must end the test.
SECONDS_MAX = 20.0


class HeldCheckpoint(SqliteCheckpoint):
    """A checkpoint whose first write fails, and whose others wait until they may go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "0" * 16)
        self.has_failed = False
        self.may_go_on = asyncio.Event()
        self.under_way = self.most_at_once = 0

    async def write(self, *changes: Any) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise OSError("no room")
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await self.may_go_on.wait()
        await super().write(*changes)
        self.under_way -= 1


def at(position: int) -> CheckpointHead:
    return CheckpointHead(Head(position, bytes(32)), position, position)


async def test_g10_a_round_that_waits_writes_no_checkpoint_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointers, "RETRY_SECONDS_MIN", 0.0)
    checkpoint = HeldCheckpoint(tmp_path / "test.state")
    state = KERNEL.new_state()
    state.attach(checkpoint)
    checkpointer = Checkpointer(checkpoint, state, RequestIndex(), BETWEEN)
    await checkpointer.committed(BETWEEN, at(1))
    await checkpointer.settle()
    # It is being written once more, and far too much has come since.
    await checkpointer.committed(Amount(FAILED_PATIENCE, 1), at(1 + FAILED_PATIENCE))

    round_waits = asyncio.create_task(checkpointer.room(lambda: True))
    await settle()
    checkpoint.may_go_on.set()
    async with asyncio.timeout(SECONDS_MAX):
        await round_waits
        await checkpointer.settle()

    assert checkpoint.most_at_once == 1
    assert checkpoint.at == at(1)
    await checkpointer.close(None)
