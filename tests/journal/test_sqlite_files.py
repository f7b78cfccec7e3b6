"""What a SQLite log accepts as its file: its own, whole and of a format that it reads (G8)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.journal.port import EMPTY_HEAD, Corrupt, JournalError
from gapless_server.journal.schema import PAGE_BYTES
from gapless_server.journal.sqlite import APPLICATION_ID, FORMAT_VERSION, SqliteJournal
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer.clock import LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.journal.rounds import append_all, chain_of, next_round, read_all


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteJournalStore]:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    yield store
    await store.close()


async def written_log(store: SqliteJournalStore, round_count: int = 3) -> Path:
    """Returns the file of a log of rounds of one entry each, which is closed again."""
    journal = await store.open("one")
    await append_all(journal, chain_of([1] * round_count))
    await journal.close()
    return store.path("one")


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_a_commit_is_synced_in_full(store: SqliteJournalStore) -> None:
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))
    assert isinstance(journal, SqliteJournal)

    pragmas = {
        name: await journal._value(f"PRAGMA {name}")
        for name in ("journal_mode", "synchronous", "application_id", "user_version")
    }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "application_id": APPLICATION_ID,
        "user_version": FORMAT_VERSION,
    }
    await journal.close()


async def test_g2_a_pragma_that_does_not_apply_is_refused(store: SqliteJournalStore) -> None:
    """SQLite takes any value for a PRAGMA without an error, and may keep the old one."""
    journal = await store.open("one")
    await append_all(journal, chain_of([1]))

    with pytest.raises(JournalError, match="PRAGMA synchronous is 0, needed 2"):
        await journal._set_and_check("synchronous", "OFF", 2)

    await journal.close()


async def test_a_log_that_is_opened_again_is_synced_in_full_too(
    store: SqliteJournalStore,
) -> None:
    await written_log(store)
    journal = await store.open("one")

    assert await journal._value("PRAGMA journal_mode") == "wal"
    assert await journal._value("PRAGMA synchronous") == 2
    await journal.close()


async def test_a_newer_format_is_refused_and_both_versions_are_named(
    store: SqliteJournalStore,
) -> None:
    path = await written_log(store)
    change(path, f"PRAGMA user_version = {FORMAT_VERSION + 1}")

    expected = f"has format {FORMAT_VERSION + 1}, this version reads format {FORMAT_VERSION}"
    with pytest.raises(JournalError, match=expected):
        await store.open("one")


async def test_the_database_of_another_program_is_refused_and_left_as_it_is(
    store: SqliteJournalStore,
) -> None:
    path = store.path("one")
    change(path, "CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)")

    with pytest.raises(JournalError, match="is not a gapless log; move it away"):
        await store.open("one")

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT x FROM theirs").fetchall() == [(1,)]
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert tables == [("theirs",)]


async def test_a_file_that_is_no_database_is_refused_as_corrupt(
    store: SqliteJournalStore,
) -> None:
    store.path("one").write_bytes(b"no database at all, but long enough to look at" * 100)

    with pytest.raises(Corrupt, match="not a database"):
        await store.open("one")


async def test_a_file_that_was_refused_is_given_free_again(store: SqliteJournalStore) -> None:
    store.path("one").write_bytes(b"no database at all, but long enough to look at" * 100)
    for _ in range(2):
        with pytest.raises(Corrupt):
            await store.open("one")

    store.path("one").unlink()
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))
    await journal.close()


async def open_namespace(store: SqliteJournalStore) -> Namespace:
    journal = await store.open("one")
    try:
        return await Namespace.open(
            "one", Kernel(KINDS), journal, LogClock(ManualClock()), WriterLimits(), lambda *_: None
        )
    except BaseException:
        await journal.close()
        raise


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE rounds SET data = zeroblob(0) WHERE first_position = 2",
        "UPDATE rounds SET chain_hash = zeroblob(32) WHERE first_position = 2",
        "UPDATE rounds SET last_position = 4 WHERE first_position = 3",
        "DELETE FROM rounds WHERE first_position = 1",
        "DELETE FROM rounds WHERE first_position = 2",
        "UPDATE rounds SET data = (SELECT data FROM rounds WHERE first_position = 1)"
        " WHERE first_position = 3",
    ],
)
async def test_g8_a_log_whose_chain_is_broken_is_refused_at_its_start(
    store: SqliteJournalStore, damage: str
) -> None:
    path = await written_log(store)
    change(path, damage)

    with pytest.raises(Corrupt, match=r"is not what was committed after|no round holds"):
        await open_namespace(store)


async def test_a_log_with_pages_of_another_size_is_read_and_goes_on(
    store: SqliteJournalStore,
) -> None:
    path = await written_log(store)
    change(path, "PRAGMA journal_mode = DELETE", "PRAGMA page_size = 4096", "VACUUM")
    journal = await store.open("one")

    await journal.append(next_round(journal.head))

    assert await journal._value("PRAGMA page_size") == 4096  # type: ignore[attr-defined]
    assert [record.last_position for record in await read_all(journal)] == [1, 2, 3, 4]
    await journal.close()


async def test_g8_a_page_of_rubbish_in_the_file_is_refused_at_its_start(
    store: SqliteJournalStore,
) -> None:
    path = await written_log(store, round_count=200)
    content = bytearray(path.read_bytes())
    content[PAGE_BYTES * 2 : PAGE_BYTES * 3] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)

    with pytest.raises(Corrupt):
        await open_namespace(store)


async def test_g8_a_log_without_its_incarnation_is_refused(store: SqliteJournalStore) -> None:
    path = await written_log(store)
    change(path, "DELETE FROM meta")

    with pytest.raises(Corrupt, match=re.escape(str(path))):
        await store.open("one")
