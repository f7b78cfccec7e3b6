"""J8: a round and others of before, rewritten, in one step; the chain stays as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gapless_server.journal.port import Corrupt, Head, JournalStore, NoRoom, Round, digest_of
from gapless_server.journal.sqlite import SqliteJournal
from tests.journal.rounds import append_all, chain_of, next_round, one_by_one, read_all
from tests.journal.test_contract import store

__all__ = ["store"]


async def test_j8_rewritten_rounds_keep_their_place_in_the_chain(store: JournalStore) -> None:
    first, second, third = chain_of([1, 2, 1])
    journal = await store.open("one")
    await append_all(journal, [first, second])
    rewritten = second._replace(data=b"less", data_digest=second.committed_digest)

    await journal.append_rewriting(third, one_by_one(rewritten))

    assert await read_all(journal) == [first, rewritten, third]
    assert journal.head == Head(4, third.chain_hash)
    [_, found, _] = await read_all(journal)
    assert (found.follows(Head(1, first.chain_hash)), digest_of(found.data)) == (
        True,
        digest_of(b"less"),
    )
    await journal.close()


async def test_j4_a_round_that_does_not_follow_rewrites_nothing(store: JournalStore) -> None:
    first, _second, third = chain_of([1, 2, 1])
    journal = await store.open("one")
    await journal.append(first)

    with pytest.raises(ValueError, match="round begins at 4, the head is 1"):
        await journal.append_rewriting(third, one_by_one(first._replace(data=b"less")))

    assert await read_all(journal) == [first]
    await journal.close()


async def test_j2_an_error_for_one_of_the_rewritten_rounds_leaves_all_as_it_was(
    store: JournalStore,
) -> None:
    first, second, third = chain_of([1, 1, 1])
    journal = await store.open("one")
    await append_all(journal, [first, second])

    async def damaged() -> AsyncIterator[Round]:
        yield first._replace(data=b"less", data_digest=first.committed_digest)
        raise Corrupt("the second round is damaged")

    with pytest.raises(Corrupt, match="the second round is damaged"):
        await journal.append_rewriting(third, damaged())

    assert await read_all(journal) == [first, second]
    assert (journal.head.position, journal.erasure_pending) == (2, False)
    await journal.append(third)
    assert await read_all(journal) == [first, second, third]
    await journal.close()


async def test_j5_without_room_nothing_is_rewritten_and_the_same_can_be_tried_again(
    tmp_path: Path,
) -> None:
    journal = await SqliteJournal.open(tmp_path / "one.db", tmp_path / "owner.json", tmp_path)
    [first] = chain_of([1])
    await journal.append(first)
    rewritten = first._replace(data=b"less", data_digest=first.committed_digest)
    large = next_round(journal.head, data=bytes(1_000_000))
    assert journal._writer is not None
    await journal._writer.execute_fetchall("PRAGMA max_page_count = 20")

    with pytest.raises(NoRoom):
        await journal.append_rewriting(large, one_by_one(rewritten))
    refused = await read_all(journal)
    await journal._writer.execute_fetchall("PRAGMA max_page_count = 100000")
    await journal.append_rewriting(large, one_by_one(rewritten))

    assert refused == [first]
    assert await read_all(journal) == [rewritten, large]
    await journal.close()


async def test_a_log_remembers_that_an_erasure_is_pending(tmp_path: Path) -> None:
    path, owner = tmp_path / "one.db", tmp_path / "owner.json"
    journal = await SqliteJournal.open(path, owner, tmp_path)
    first, second = chain_of([1, 1])
    await journal.append(first)
    await journal.append_rewriting(
        second, one_by_one(first._replace(data=b"x", data_digest=bytes(32)))
    )
    await journal.close()

    opened = await SqliteJournal.open(path, owner, tmp_path)
    pending = opened.erasure_pending
    await opened.end_erasure(second.last_position)
    await opened.close()

    again = await SqliteJournal.open(path, owner, tmp_path)
    assert (pending, again.erasure_pending) == (True, False)
    await again.close()


async def test_the_end_of_an_erasure_says_nothing_of_one_that_came_after_it(
    tmp_path: Path,
) -> None:
    journal = await SqliteJournal.open(tmp_path / "one.db", tmp_path / "owner.json", tmp_path)
    first, second, third = chain_of([1, 1, 1])
    await journal.append(first)
    await journal.append_rewriting(
        second, one_by_one(first._replace(data=b"x", data_digest=bytes(32)))
    )
    await journal.append_rewriting(
        third, one_by_one(first._replace(data=b"y", data_digest=bytes(32)))
    )

    await journal.end_erasure(second.last_position)
    pending_after_the_first = journal.erasure_pending
    await journal.end_erasure(third.last_position)

    assert (pending_after_the_first, journal.erasure_pending) == (True, False)
    await journal.close()


async def test_an_erasure_that_found_no_room_holds_up_the_end_of_no_other(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "one.db", tmp_path / "owner.json", tmp_path)
    first, second = chain_of([1, 1])
    rewritten = first._replace(data=b"x", data_digest=bytes(32))
    await journal.append(first)
    await journal.append_rewriting(second, one_by_one(rewritten))
    assert journal._writer is not None
    await journal._writer.execute_fetchall("PRAGMA max_page_count = 20")
    with pytest.raises(NoRoom):
        await journal.append_rewriting(
            next_round(journal.head, data=bytes(1_000_000)), one_by_one(rewritten)
        )

    await journal.end_erasure(second.last_position)

    assert not journal.erasure_pending
    await journal.close()
