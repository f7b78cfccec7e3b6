"""A checkpoint whose file is written anew, so that nothing erased remains, is none the worse."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

import pytest

from gapless_server.checkpoint.port import RequestPairs
from gapless_server.checkpoint.sqlite import SqliteCheckpoint, SqliteCheckpointStore
from tests.checkpoint.test_checkpoint_files import HEAD, NAME, NEXT_HEAD, written


async def while_it_scrubs(checkpoint: SqliteCheckpoint, look: Callable[[], None]) -> None:
    """Has SQLite call `look` now and then, in the thread that scrubs."""

    def every_few_steps() -> int:
        look()
        return 0

    await checkpoint._in_writer_thread(
        lambda connection: connection.set_progress_handler(every_few_steps, 10)
    )


@pytest.mark.parametrize("further_write", [False, True])
async def test_c1_a_scrub_that_a_stop_breaks_off_leaves_a_checkpoint_that_counts(
    tmp_path: Path, further_write: bool
) -> None:
    checkpoint = await written(tmp_path, [(b"k", b"row")])
    is_under_way, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_under_way.set()
        go_on.wait()

    await while_it_scrubs(checkpoint, hold)
    scrub = asyncio.create_task(checkpoint.scrub())
    await asyncio.to_thread(is_under_way.wait)
    scrub.cancel()
    await asyncio.wait([scrub])
    go_on.set()
    if further_write:
        await checkpoint.write(NEXT_HEAD, [("T", [(b"l", b"row")])], RequestPairs(), [])
    await checkpoint.close()

    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    assert scrub.cancelled()
    assert again.at == (NEXT_HEAD if further_write else HEAD)
    assert again.get("T", b"k") == b"row"
    await again.close()


async def test_g7_a_scrub_does_not_wait_for_a_reader_and_writes_the_file_anew_only_once(
    tmp_path: Path,
) -> None:
    rows: list[tuple[bytes, bytes | None]] = [(b"%d" % n, os.urandom(5000)) for n in range(100)]
    checkpoint = await written(tmp_path, sorted(rows))
    database, log = tmp_path / f"{NAME}.state", tmp_path / f"{NAME}.state-wal"
    begin = monotonic()

    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM T").fetchall()
        done = [await checkpoint.scrub() for _ in range(5)]
        seconds = monotonic() - begin
        # One copy of all rows, and a page for each try.
        rewritten_bytes = log.stat().st_size
    done.append(await checkpoint.scrub())

    assert done == [False] * 5 + [True]
    assert seconds < 4  # the default is to wait for 5 s, each time
    assert rewritten_bytes < 2 * database.stat().st_size
    assert log.stat().st_size == 0
    await checkpoint.close()


async def test_g7_a_scrub_has_its_copy_in_a_file_beside_the_checkpoint_and_not_in_memory(
    tmp_path: Path,
) -> None:
    # More than the connection's caches hold.
    rows: list[tuple[bytes, bytes | None]] = [(b"%d" % n, os.urandom(5000)) for n in range(2000)]
    directory = tmp_path / "an owner's"
    directory.mkdir()
    checkpoint = await written(directory, sorted(rows))
    sizes = [0]

    def look() -> None:
        sizes.extend(deleted_files_in(directory))

    await while_it_scrubs(checkpoint, look)
    assert await checkpoint.scrub()

    assert max(sizes) > 2_000_000
    [[mode]] = await checkpoint._fetch("PRAGMA temp_store")
    assert mode == 2  # in memory, for everything else
    await checkpoint.close()


def deleted_files_in(directory: Path) -> list[int]:
    """Returns the sizes of files that this process has open and that have no name any more."""
    sizes = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            name = str(descriptor.readlink())
            if name.startswith(f"{directory}/") and name.endswith(" (deleted)"):
                sizes.append(descriptor.stat().st_size)
    return sizes
