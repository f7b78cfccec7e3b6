"""Readers of a SQLite log share one connection, and closing the log leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from gapless_server.journal.port import Journal, JournalError, Round
from gapless_server.journal.sqlite_store import SqliteJournalStore
from tests.journal.rounds import append_all, chain_of, read_all

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
