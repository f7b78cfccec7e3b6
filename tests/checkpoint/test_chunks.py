"""Rows that lie in chunks are found as if each lay for itself, however chunks are cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest

from gapless_server.checkpoint.chunks import (
    BATCH_ROWS,
    CHUNK_BYTES,
    SCAN_CHUNKS_MAX,
    Chunk,
    ChunkTable,
)

END = b"\xff"


class Stored:
    """One table, in a database in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.table = ChunkTable("T")
        self.table.create(connection)

    def write(self, rows: dict[bytes, bytes | None]) -> None:
        self.table.write(self.connection, sorted(rows.items()))
        self.table.written()

    def read(self, query: str, parameters: Any) -> list[Any]:
        return self.connection.execute(query, parameters).fetchall()

    def get(self, key: bytes) -> bytes | None:
        return self.table.get(self.read, key)

    def scan(
        self, low: bytes = b"", high: bytes = END, *, descending: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.table.scan(self.read, low, high, descending=descending)

    def chunks(self) -> list[Chunk]:
        """All chunks, which must have what belongs between their fences."""
        chunks = list(self.table.chunks(self.connection))
        fences = [chunk.fence for chunk in chunks]
        for chunk, above in zip(chunks, [*fences[1:], END][: len(chunks)], strict=True):
            assert chunk.keys == sorted(set(chunk.keys))
            assert chunk.fence <= chunk.keys[0]
            assert chunk.keys[-1] < above
        return chunks


@pytest.fixture
def stored() -> Iterator[Stored]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield Stored(connection)


def key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def some_rows(chance: Random, known: list[bytes]) -> dict[bytes, bytes | None]:
    """New rows at random or in a row, changed and deleted ones; some larger than a chunk."""
    rows: dict[bytes, bytes | None] = {}
    first = chance.randrange(1_000)
    for number in range(first, first + chance.choice((1, 3, 30, 300))):
        rows[key(number)] = bytes([chance.randrange(256)]) * chance.randrange(200)
    for _ in range(chance.choice((0, 2, 20))):
        rows[key(chance.randrange(1_000))] = bytes(chance.choice((0, 50, 50, 2 * CHUNK_BYTES)))
    for gone in chance.sample(known, min(chance.choice((0, 1, 10, 400)), len(known))):
        rows[gone] = None
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_g10_rows_are_found_as_they_were_written_last(stored: Stored, seed: int) -> None:
    chance = Random(seed)
    expected: dict[bytes, bytes] = {}
    for _ in range(12):
        changes = some_rows(chance, list(expected))
        stored.write(changes)
        for changed, row in changes.items():
            if row is None:
                expected.pop(changed, None)
            else:
                expected[changed] = row

        in_order = sorted(expected.items())
        assert list(stored.scan()) == in_order
        assert list(stored.scan(descending=True)) == in_order[::-1]
        assert [row for chunk in stored.chunks() for row in chunk.rows] == list(
            dict(in_order).values()
        )
        for number in chance.sample(range(1_000), 50):
            assert stored.get(key(number)) == expected.get(key(number))
        low, high = sorted((key(chance.randrange(1_000)), key(chance.randrange(1_000))))
        inside = [(found, row) for found, row in in_order if low < found < high]
        assert list(stored.scan(low, high)) == inside
        assert list(stored.scan(low, high, descending=True)) == inside[::-1]


def test_g10_more_rows_than_are_written_at_a_time_are_written_and_deleted(stored: Stored) -> None:
    keys = [key(number) for number in range(3 * BATCH_ROWS + 2)]
    stored.write(dict.fromkeys(keys, b"old"))

    stored.write({**dict.fromkeys(keys[::2], b"new"), **dict.fromkeys(keys[1::2])})

    assert list(stored.scan()) == [(kept, b"new") for kept in keys[::2]]
    stored.write(dict.fromkeys(keys))
    assert stored.chunks() == []


def test_rows_that_are_added_in_order_fill_their_chunks(stored: Stored) -> None:
    row_bytes = CHUNK_BYTES // 12 - len(key(0))
    for first in range(0, 1_200, 7):
        stored.write({key(number): bytes(row_bytes) for number in range(first, first + 7)})

    chunks = stored.chunks()

    assert [len(chunk.keys) for chunk in chunks[:-1]] == [12] * (len(chunks) - 1)


def test_rows_at_random_leave_no_chunks_that_are_nearly_empty(stored: Stored) -> None:
    numbers = list(range(1_200))
    Random(1).shuffle(numbers)
    row_bytes = CHUNK_BYTES // 12 - len(key(0))
    for first in range(0, 1_200, 7):
        stored.write({key(number): bytes(row_bytes) for number in numbers[first : first + 7]})

    sizes = [len(chunk.keys) for chunk in stored.chunks()]

    assert max(sizes) <= 12 + 1
    # A B-tree's pages come to 0.69.
    assert sum(sizes) / len(sizes) / 12 > 0.6


def test_a_scan_that_is_abandoned_has_read_one_chunk(stored: Stored) -> None:
    stored.write({key(number): bytes(100) for number in range(1_000)})
    opened: list[bytes] = []
    real = stored.table.opened

    def counting(fence: bytes, data: bytes) -> Chunk:
        opened.append(fence)
        return real(fence, data)

    stored.table.opened = counting  # type: ignore[method-assign]

    assert next(stored.scan(descending=True))[0] == key(999)
    assert len(opened) == 1


@pytest.mark.parametrize("descending", [False, True])
def test_a_scan_gives_each_row_once_although_chunks_are_cut_meanwhile(
    stored: Stored, descending: bool
) -> None:
    old = [key(number) for number in range(0, 4_000, 4)]
    stored.write({one: bytes(500) for one in old})
    assert len(stored.chunks()) > 3 * SCAN_CHUNKS_MAX
    found: list[bytes] = []

    for index, (one, _row) in enumerate(stored.scan(descending=descending)):
        found.append(one)
        if index % 50 == 0:
            near = int.from_bytes(one, "big")
            cutting = range(max(near - 40, 0), near + 40)
            stored.write({key(number): bytes(600) for number in cutting if number % 4})

    known = set(old)
    assert [one for one in found if one in known] == (old[::-1] if descending else old)
    assert len(found) == len(set(found))
