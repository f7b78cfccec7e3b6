"""What is committed is moved out of the write-ahead log between commits, a little at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gapless_server.journal.moves import MOVE_BYTES
from gapless_server.journal.port import EMPTY_HEAD, Round
from gapless_server.journal.schema import PAGE_BYTES
from gapless_server.journal.sqlite import SqliteJournal
from gapless_server.journal.sqlite_store import SqliteJournalStore
from tests.journal.rounds import next_round, read_all
from tests.limits import file_size_limited_to

HUNDRED_KB = b"x" * 100_000
# SQLite moves a thousand pages within a commit, unless it is told not to.
MORE_THAN_SQLITE_LEAVES = b"x" * 1_500 * PAGE_BYTES


class Log:
    """A log and its two files."""

    def __init__(self, journal: SqliteJournal, path: Path) -> None:
        self.journal = journal
        self.rounds: list[Round] = []
        self._path = path

    @property
    def database_bytes(self) -> int:
        return self._path.stat().st_size

    @property
    def write_ahead_log_bytes(self) -> int:
        return self._path.with_name(f"{self._path.name}-wal").stat().st_size

    async def append(self, data: bytes) -> None:
        head = self.journal.head if self.rounds else EMPTY_HEAD
        self.rounds.append(next_round(head, data=data))
        await self.journal.append(self.rounds[-1])

    async def settle(self) -> None:
        assert self.journal._moves is not None
        await self.journal._moves.settle()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal = await store.open("one")
    yield Log(journal, store.path("one"))
    await journal.close()
    await store.close()


async def test_a_commit_moves_nothing_itself_and_what_is_due_is_moved_right_after_it(
    log: Log,
) -> None:
    await log.append(b"first")
    before = log.database_bytes

    await log.append(MORE_THAN_SQLITE_LEAVES)
    at_the_answer = log.database_bytes
    await log.settle()

    assert at_the_answer == before
    assert log.database_bytes > len(MORE_THAN_SQLITE_LEAVES)


async def test_the_write_ahead_log_stays_as_small_as_one_move(log: Log) -> None:
    for _ in range(50):
        await log.append(HUNDRED_KB)
        await log.settle()

    # What was unmoved when the move came due, and the round that made it due.
    assert log.write_ahead_log_bytes < MOVE_BYTES + 2 * len(HUNDRED_KB)
    assert log.database_bytes > 40 * len(HUNDRED_KB)
    assert await read_all(log.journal) == log.rounds


async def test_a_move_that_fails_loses_nothing_and_the_next_one_takes_it_along(log: Log) -> None:
    for _ in range(50):
        await log.append(HUNDRED_KB)
        await log.settle()
    before = log.database_bytes

    with file_size_limited_to(before), capture_logs() as events:
        for _ in range(20):
            await log.append(HUNDRED_KB)
            await log.settle()
    failed = [event for event in events if event["event"] == "move_failed"]

    assert failed
    assert log.database_bytes == before
    for _ in range(20):
        await log.append(HUNDRED_KB)
        await log.settle()
    assert log.database_bytes > before + 30 * len(HUNDRED_KB)
    assert await read_all(log.journal) == log.rounds


async def test_nothing_is_moved_inside_of_a_transaction(log: Log) -> None:
    await log.append(b"first")
    assert log.journal._moves is not None
    assert log.journal._writer is not None
    await log.journal._writer.execute_fetchall("BEGIN IMMEDIATE")

    with capture_logs() as events:
        log.journal._moves.committed(MOVE_BYTES)
        await log.settle()

    assert events == []
    await log.journal._writer.execute_fetchall("ROLLBACK")
