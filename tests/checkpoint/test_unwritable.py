"""A checkpoint that cannot be written for long: memory stays bounded, and nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gapless_server.checkpoint.sqlite import SqliteCheckpoint
from gapless_server.journal.port import JournalError
from gapless_server.writer.checkpointer import FAILED_PATIENCE, START_PATIENCE
from gapless_server.writer.namespace import Namespace
from tests.checkpoint.test_checkpoints import Disk
from tests.writer.harness import create, post, run, sequence

ENTRIES = 5
POSTS = ENTRIES * (FAILED_PATIENCE + 1) - 1
# A hang must end the test.
SECONDS_MAX = 20.0
WAITS = "writer_waits_for_checkpoint"


@contextmanager
def bad_sectors() -> Iterator[None]:
    """The disk takes nothing of a checkpoint."""

    async def fails(*_changes: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteCheckpoint, "write", fails)
        yield


async def until_it_waits(events: list[Any]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if WAITS in [event["event"] for event in events]:
                return
            await asyncio.sleep(0.001)  # real: the writer is at work


async def fill(namespace: Namespace) -> None:
    """Commits as much as a writer without its checkpoint may."""
    await run(namespace, create())
    for number in range(POSTS):
        await run(namespace, post(f"before {number}"))


async def stop_waiting(disk: Disk) -> list[Any]:
    """Fills a log whose writer waits then, and stops it; returns what became of the late post."""
    with capture_logs() as events:
        async with disk.namespace(checkpoint_entries=ENTRIES) as namespace:
            await fill(namespace)
            late = asyncio.create_task(run(namespace, post("late")))
            await until_it_waits(events)
        return await late


async def test_g7_a_writer_whose_checkpoint_cannot_be_written_goes_on_for_a_while_only(
    tmp_path: Path,
) -> None:
    async with Disk(tmp_path).namespace(checkpoint_entries=ENTRIES) as namespace:
        with bad_sectors(), capture_logs() as events:
            await fill(namespace)
            late = asyncio.create_task(run(namespace, post("late")))
            await until_it_waits(events)
            assert namespace.head.position == 1 + POSTS

        async with asyncio.timeout(SECONDS_MAX):
            [outcome] = await late

    assert sequence(outcome) == POSTS + 1


async def test_a_writer_that_waits_for_its_checkpoint_can_be_closed(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with bad_sectors():
        [outcome] = await stop_waiting(disk)

    async with disk.namespace(checkpoint_entries=ENTRIES) as namespace:
        [again] = await run(namespace, post("late"))
    assert sequence(again) == sequence(outcome) == POSTS + 1


async def test_what_a_waiting_writer_left_behind_opens_though_the_disk_is_still_bad(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    with bad_sectors():
        await stop_waiting(disk)

        async with disk.namespace(checkpoint_entries=ENTRIES) as namespace:
            assert namespace.head.position == POSTS + 2


async def test_g7_a_start_does_not_take_a_whole_log_into_memory_that_cannot_be_checkpointed(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    # The first checkpoint is tried after so many, and then so many times as many may come.
    fitting = ENTRIES * (START_PATIENCE + 1) - 1
    async with disk.namespace(crash=True, checkpoint_entries=fitting + 2) as namespace:
        await run(namespace, create())
        for number in range(fitting - 1):
            await run(namespace, post(f"before {number}"))
    with bad_sectors():
        async with disk.namespace(crash=True, checkpoint_entries=ENTRIES) as namespace:
            assert namespace.head.position == fitting
    async with disk.namespace(crash=True, checkpoint_entries=fitting + 2) as namespace:
        await run(namespace, post("one too many"))

    with bad_sectors(), pytest.raises(JournalError) as caught:
        async with disk.namespace(checkpoint_entries=ENTRIES):
            pass

    assert str(caught.value) == (
        "its checkpoint cannot be written (disk I/O error), and the"
        f" {ENTRIES * START_PATIENCE} entries since would have to be kept in memory; make the"
        " checkpoint's file writable, or give its disk room, and ask again"
    )
    async with disk.namespace(checkpoint_entries=ENTRIES) as namespace:
        assert namespace.head.position == fitting + 1
