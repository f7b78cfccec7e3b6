"""What every journal promises, by the numbers of the promises in ``journal/port.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.journal.port import EMPTY_HEAD, Head, JournalStore, OwnedElsewhere
from gapless_server.journal.reading import READ_ROUNDS
from gapless_server.journal.sqlite_store import SqliteJournalStore
from tests.journal.rounds import append_all, chain_of, next_round, read_all

ADDRESS = "127.0.0.1:4275"


def memory_store(_directory: Path) -> JournalStore:
    return MemoryJournalStore()


def sqlite_store(directory: Path) -> JournalStore:
    return SqliteJournalStore(directory, ADDRESS)


@pytest.fixture(params=[memory_store, sqlite_store], ids=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalStore]:
    make: Callable[[Path], JournalStore] = request.param
    store = make(tmp_path / "data")
    yield store
    await store.close()


async def test_j1_a_round_is_there_when_the_log_is_opened_again(store: JournalStore) -> None:
    rounds = chain_of([1, 3])
    journal = await store.open("one")
    await append_all(journal, rounds)
    await journal.close()

    opened = await store.open("one")

    assert opened.head == Head(4, rounds[-1].chain_hash)
    assert await read_all(opened) == rounds
    await opened.close()


async def test_j1_a_log_that_is_opened_again_goes_on_where_it_was(store: JournalStore) -> None:
    rounds = chain_of([2, 2, 2])
    journal = await store.open("one")
    await append_all(journal, rounds[:2])
    await journal.close()

    opened = await store.open("one")
    await opened.append(rounds[2])

    assert await read_all(opened) == rounds
    await opened.close()


async def test_the_incarnation_is_that_of_the_log_and_no_other(store: JournalStore) -> None:
    journal, other = await store.open("one"), await store.open("two")
    await append_all(journal, chain_of([1]))
    await append_all(other, chain_of([1]))
    incarnation = journal.incarnation
    await journal.close()

    opened = await store.open("one")

    assert opened.incarnation == incarnation
    assert other.incarnation != incarnation
    await opened.close()
    await other.close()


@pytest.mark.parametrize("data", [b"", b"\0" * 1000, bytes(range(256)) * 4096], ids=len)
async def test_j2_a_round_of_any_size_comes_back_whole(store: JournalStore, data: bytes) -> None:
    record = next_round(EMPTY_HEAD, 5, data)
    journal = await store.open("one")

    await journal.append(record)

    assert await read_all(journal) == [record]
    await journal.close()


async def test_j3_reading_begins_with_the_round_that_holds_the_position(
    store: JournalStore,
) -> None:
    rounds = chain_of([1, 3, 2])  # positions 1, 2 to 4, 5 and 6
    journal = await store.open("one")
    await append_all(journal, rounds)

    begun = {position: await read_all(journal, position) for position in range(1, 8)}

    assert begun == {
        1: rounds,
        2: rounds[1:],
        3: rounds[1:],
        4: rounds[1:],
        5: rounds[2:],
        6: rounds[2:],
        7: [],
    }
    await journal.close()


async def test_j3_more_rounds_than_are_read_at_once_come_in_order_and_once(
    store: JournalStore,
) -> None:
    rounds = chain_of([1] * (2 * READ_ROUNDS + 1))
    journal = await store.open("one")
    await append_all(journal, rounds)

    assert await read_all(journal) == rounds
    await journal.close()


async def test_j3_a_reader_that_is_under_way_gives_what_is_appended_meanwhile(
    store: JournalStore,
) -> None:
    rounds = chain_of([1] * (READ_ROUNDS + 2))
    journal = await store.open("one")
    await append_all(journal, rounds[:-2])

    reader = journal.read(1)
    seen = [await anext(reader)]
    await append_all(journal, rounds[-2:])
    seen += [record async for record in reader]

    assert seen == rounds
    await journal.close()


@pytest.mark.parametrize("first_position", [0, 1, 3, 5])
async def test_j4_a_round_that_does_not_follow_the_head_is_refused_and_not_kept(
    store: JournalStore, first_position: int
) -> None:
    rounds = chain_of([1, 2])  # the head is at 3, so 4 would follow
    journal = await store.open("one")
    await append_all(journal, rounds)
    wrong = next_round(Head(first_position - 1, rounds[-1].chain_hash))

    with pytest.raises(ValueError, match=f"round begins at {first_position}, the head is 3"):
        await journal.append(wrong)

    assert journal.head == Head(3, rounds[-1].chain_hash)
    assert await read_all(journal) == rounds
    await journal.append(next_round(journal.head))
    assert journal.head.position == 4
    await journal.close()


async def test_j6_a_log_that_is_open_cannot_be_opened_a_second_time(store: JournalStore) -> None:
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))

    with pytest.raises(OwnedElsewhere):
        await store.open("one")

    await journal.append(next_round(journal.head))
    assert journal.head.position == 2
    await journal.close()


async def test_j6_a_log_that_was_closed_can_be_opened(store: JournalStore) -> None:
    for _ in range(3):
        journal = await store.open("one")
        await journal.append(next_round(journal.head))
        await journal.close()

    opened = await store.open("one")
    assert opened.head.position == 3
    await opened.close()


async def test_j7_opening_and_reading_a_log_that_is_not_there_leaves_nothing_behind(
    store: JournalStore,
) -> None:
    journal = await store.open("one")
    assert journal.head == EMPTY_HEAD
    assert await read_all(journal) == []
    await journal.close()

    assert not store.exists("one")
    assert store.namespaces() == []


async def test_j7_a_log_comes_into_being_with_its_first_round(store: JournalStore) -> None:
    journal = await store.open("one")
    assert not store.exists("one")

    await journal.append(next_round(EMPTY_HEAD))

    assert store.exists("one")
    await journal.close()
    assert store.exists("one")


async def test_logs_are_listed_by_name_in_order(store: JournalStore) -> None:
    for namespace in ("b", "a.b", "a"):
        journal = await store.open(namespace)
        await journal.append(next_round(EMPTY_HEAD))
        await journal.close()

    assert store.namespaces() == ["a", "a.b", "b"]
