"""A commit that fails leaves its outcome open, and nothing is committed after it (J5, G8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless_server.journal.port import EMPTY_HEAD, NotKept, OutcomeUnknown
from gapless_server.journal.sqlite_store import SqliteJournalStore
from tests.journal.rounds import next_round, read_all
from tests.limits import file_size_limited_to

LARGE = b"x" * 4_000_000


async def test_j5_after_a_commit_that_failed_no_further_round_is_taken(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))
    head = journal.head

    with file_size_limited_to(1_000_000), pytest.raises(OutcomeUnknown, match=r"one\.db"):
        await journal.append(next_round(head, data=LARGE))

    # There is room again, and still nothing is taken: the log may not be what we think it is.
    with pytest.raises(OutcomeUnknown, match="an earlier commit failed; restart the service"):
        await journal.append(next_round(head))
    assert journal.head == head
    await journal.close()
    await store.close()


async def test_j5_a_log_that_cannot_be_made_keeps_nothing_and_is_made_once_it_can_be(
    tmp_path: Path,
) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal = await store.open("one")
    first = next_round(EMPTY_HEAD)

    with file_size_limited_to(1000), pytest.raises(NotKept, match=r"one\.db cannot be made"):
        await journal.append(first)
    left = [path for path in (tmp_path / "data").rglob("*") if "one" in path.name]
    await journal.append(first)

    assert left == []
    assert await read_all(journal) == [first]
    await journal.close()
    await store.close()


async def test_j1_what_was_acknowledged_before_a_failure_is_there_after_it(
    tmp_path: Path,
) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    journal = await store.open("one")
    first = next_round(EMPTY_HEAD)
    await journal.append(first)
    with file_size_limited_to(1_000_000), pytest.raises(OutcomeUnknown):
        await journal.append(next_round(journal.head, data=LARGE))
    await journal.close()

    opened = await store.open("one")

    assert (await read_all(opened))[0] == first
    await opened.append(next_round(opened.head))
    await opened.close()
    await store.close()
