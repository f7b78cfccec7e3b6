"""A start that cannot have its checkpoint just now is no reason to throw the checkpoint away."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gapless.v1 import errors_pb2
from gapless_server.checkpoint.damage import cannot_be_used
from gapless_server.checkpoint.page_sum import PageSum
from gapless_server.checkpoint.port import CheckpointHead
from gapless_server.checkpoint.sqlite import SqliteCheckpoint, SqliteCheckpointStore
from gapless_server.core.refusals import Refused
from tests.checkpoint.test_checkpoint_files import HEAD, NAME, written
from tests.checkpoint.test_last_checkpoints import NAMES, opened, write_to_all
from tests.writer.harness import channel_head


async def write_and_close(directory: Path) -> None:
    checkpoint = await written(directory, [(b"k", b"row")])
    await checkpoint.close()


@contextmanager
def no_file_handles_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open("/", os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_checkpoint_stays_though_a_start_had_no_file_handle_for_it(tmp_path: Path) -> None:
    await write_and_close(tmp_path)

    with no_file_handles_left(), pytest.raises(OSError, match="Too many open files"):
        await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    assert again.at == HEAD
    await again.close()


async def test_a_checkpoint_stays_though_sqlite_could_not_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_and_close(tmp_path)

    async def fails(_checkpoint: SqliteCheckpoint) -> None:
        raise sqlite_error(sqlite3.SQLITE_CANTOPEN)

    with monkeypatch.context() as once:
        once.setattr(SqliteCheckpoint, "_connect", fails)
        with pytest.raises(OSError, match="SQLite says no"):
            await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    assert again.at == HEAD
    await again.close()


async def test_c2_a_checkpoint_that_the_disk_cannot_read_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_and_close(tmp_path)

    def fails(_sum: PageSum) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(PageSum, "restore", fails)
    damaged = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    assert damaged.at == CheckpointHead()
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else runs here
    await damaged.close()


async def test_a_namespace_whose_checkpoint_cannot_be_had_is_unavailable_until_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_to_all(tmp_path)

    def fails(_sum: PageSum) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with opened(tmp_path) as namespaces:
        with monkeypatch.context() as once:
            once.setattr(PageSum, "restore", fails)
            with pytest.raises(Refused) as refused:
                await namespaces.open(NAMES[0])
        async with namespaces.use(NAMES[0]) as namespace:
            assert await channel_head(namespace) == 1

    assert refused.value.reason == errors_pb2.ERROR_REASON_LOG_UNAVAILABLE


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("SQLite says no")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_ERROR, True),  # it lacks a table
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_IOERR_LOCK, False),
        (sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, False),
        (sqlite3.SQLITE_NOMEM, False),
        (sqlite3.SQLITE_FULL, False),
    ],
)
def test_what_sqlite_says_is_damage_or_in_the_way(code: int, expected: bool) -> None:
    assert cannot_be_used(sqlite_error(code)) is expected
