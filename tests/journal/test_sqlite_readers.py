"""Readers of a SQLite log share one connection, and closing the log leaves nothing behind."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gapless_server.journal.port import Journal, JournalError, NotKept, Round
from gapless_server.journal.reading import READ_BYTES
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer.log_reader import round_at
from tests.journal.rounds import append_all, chain_of, next_round, read_all

SECONDS_TO_END_MAX = 10.0


def connection_threads() -> set[threading.Thread]:
    """The threads of open connections."""
    return {thread for thread in threading.enumerate() if "connection_worker" in thread.name}


def left_since(before: set[threading.Thread]) -> set[threading.Thread]:
    """Returns the threads of connections opened since that do not end; one may still be at it."""
    opened = connection_threads() - before
    for thread in opened:
        thread.join(SECONDS_TO_END_MAX)
    return {thread for thread in opened if thread.is_alive()}


async def filled(store: SqliteJournalStore) -> tuple[Journal, Sequence[Round]]:
    journal = await store.open("one")
    chain = chain_of([1] * 3)
    await append_all(journal, chain)
    return journal, chain


async def test_many_first_readers_at_once_read_and_no_thread_outlives_the_log(
    tmp_path: Path,
) -> None:
    """A thread that is left would keep the process from ending."""
    threads = connection_threads()
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal, chain = await filled(store)

    read = await asyncio.gather(*(read_all(journal) for _ in range(5)))
    await journal.close()
    await store.close()

    assert read == [chain] * 5
    assert not left_since(threads)


async def test_a_first_reader_that_goes_away_leaves_no_thread_and_stops_nobody(
    tmp_path: Path,
) -> None:
    threads = connection_threads()
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal, chain = await filled(store)
    impatient = asyncio.create_task(read_all(journal))
    patient = asyncio.create_task(read_all(journal))
    await asyncio.sleep(0)
    impatient.cancel()

    assert await patient == chain
    await journal.close()
    await store.close()

    assert impatient.cancelled()
    assert not left_since(threads)


async def test_a_file_that_cannot_be_opened_for_reading_is_tried_again(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal, chain = await filled(store)
    path = store.path("one")
    away = path.rename(path.with_suffix(".away"))
    with pytest.raises(JournalError, match=path.name):
        await read_all(journal)

    away.rename(path)

    assert await read_all(journal) == chain
    await journal.close()
    await store.close()


MIB = 1024 * 1024


async def read_one(journal: Journal) -> None:
    await round_at(journal, 1)


async def read_whole(journal: Journal) -> None:
    async for _ in journal.read(1):
        pass


@pytest.mark.parametrize(
    ("read", "bytes_max"), [(read_one, 2 * MIB), (read_whole, 2 * READ_BYTES + MIB)]
)
async def test_g7_a_read_has_no_more_of_large_rounds_in_memory_than_it_needs(
    tmp_path: Path, read: Callable[[Journal], Any], bytes_max: int
) -> None:
    """Of 30 rounds of 1 MiB: one where one is asked for, else a few at a time."""
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal = await store.open("one")
    for _ in range(30):
        await journal.append(next_round(journal.head, data=bytes(MIB)))

    tracemalloc.start()
    await read(journal)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await journal.close()
    await store.close()

    assert peak_bytes <= bytes_max


async def test_a_scrub_does_not_wait_for_a_reader(tmp_path: Path) -> None:
    """SQLite would by itself, for five seconds, and every commit with it."""
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal, _ = await filled(store)
    path = tmp_path / "data" / "namespaces" / "one.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rounds").fetchall()

        async with asyncio.timeout(3):
            held_up = await journal.scrub()
    freed = await journal.scrub()
    await journal.close()
    await store.close()

    assert (held_up, freed) == (False, True)


class NoThreads:
    """Lets no thread be started while it is entered, as where a process may have no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __enter__(self) -> None:
        def start(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        self._monkeypatch.setattr(threading.Thread, "start", start)

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.undo()


async def test_a_log_that_cannot_be_opened_for_want_of_threads_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal, chain = await filled(store)
    await journal.close()
    with NoThreads(monkeypatch), pytest.raises(JournalError, match="new thread"):
        await store.open("one")

    journal = await store.open("one")
    with NoThreads(monkeypatch), pytest.raises(JournalError, match="new thread"):
        await read_all(journal)

    assert await read_all(journal) == chain
    await journal.close()
    await store.close()


async def test_a_log_that_came_into_being_at_the_second_attempt_is_read_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal = await store.open("one")
    chain = chain_of([1] * 3)
    # The file is made by another thread, which there is already.
    await asyncio.to_thread(lambda: None)
    with NoThreads(monkeypatch), pytest.raises(NotKept, match="new thread"):
        await journal.append(chain[0])

    await append_all(journal, chain)

    assert await read_all(journal) == chain
    await journal.close()
    await store.close()
