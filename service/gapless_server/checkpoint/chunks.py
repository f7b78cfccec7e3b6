"""Tables in chunks: neighbouring rows lie together, in one row of SQLite.

What SQLite takes for a row, and a seal, and a statement's place, is then taken once for some twenty
rows instead of for each; and rows that come in the order of their keys, as most do, are only added
to the last chunk.

A chunk has a fence: it holds the rows whose keys are at least that, and below the fence of the next
chunk. The first one's is empty, so that every key has its chunk. A chunk that grows is cut in
pieces, and the first keeps the fence; one without rows is deleted.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from operator import add
from typing import Any, Final, NamedTuple

import msgspec

from gapless_server.checkpoint.seals import Sealer

# Keys and rows of a chunk, in bytes; a larger row has one of its own. With so much, the page that
# SQLite gives to what does not fit beside other chunks is full: a fifth of a chunk does.
CHUNK_BYTES: Final = 4_800

# How many rows are taken through all steps at a time: the processor's caches hold so many.
BATCH_ROWS: Final = 1_000

# From how many chunks on a statement writes them. With one a statement, each takes twice the time,
# and has this thread and that of the event loop take the interpreter from each other.
STATEMENT_CHUNKS: Final = 50

# How many chunks a scan takes at a time, so that no read is open while the state changes: first
# one, as many want only one row, then more and more.
SCAN_CHUNKS_MAX: Final = 16

_FIRST_FENCE: Final = b""
# A key with this at its end is the next one.
_NEXT: Final = b"\0"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[bytes], list[bytes]]).decode

# Runs a query and returns what it finds.
Read = Callable[[str, tuple[bytes | int, ...]], list[Any]]


class Chunk(NamedTuple):
    """Rows that lie together, in the order of their keys."""

    fence: bytes
    keys: list[bytes]
    rows: list[bytes]


class ChunkTable:
    """One table: how its chunks are written and read. The connections are somebody else's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sealer = Sealer(name)
        # What was read last: who asks for one row often asks for its neighbour next.
        self._last_read: Chunk | None = None

    def create(self, connection: sqlite3.Connection) -> None:
        """Makes the table."""
        connection.execute(
            f'CREATE TABLE "{self._name}" (fence BLOB PRIMARY KEY, chunk BLOB NOT NULL)'
            " WITHOUT ROWID"
        )

    def written(self) -> None:
        """What was written since the last call is to be read from now on."""
        self._last_read = None

    def opened(self, fence: bytes, stored: bytes) -> Chunk:
        """Returns a chunk of what is stored. Raises Damaged."""
        return Chunk(fence, *_decode(self._sealer.opened(fence, stored)))

    def chunks(self, connection: sqlite3.Connection) -> Iterator[Chunk]:
        """Yields all of it, in the order of the fences. Raises Damaged."""
        query = f'SELECT fence, chunk FROM "{self._name}" ORDER BY fence'  # noqa: S608 - our names
        for fence, stored in connection.execute(query):
            yield self.opened(fence, stored)

    def get(self, read: Read, key: bytes) -> bytes | None:
        """Returns a row, or None. Raises Damaged."""
        chunk = self._last_read
        if chunk is None or not chunk.fence <= key <= chunk.keys[-1]:
            found = read(
                f'SELECT fence, chunk FROM "{self._name}" WHERE fence <= ?'  # noqa: S608 - our names
                " ORDER BY fence DESC LIMIT 1",
                (key,),
            )
            if not found:
                return None
            chunk = self._last_read = self.opened(*found[0])
        index = bisect_left(chunk.keys, key)
        if index < len(chunk.keys) and chunk.keys[index] == key:
            return chunk.rows[index]
        return None

    def scan(
        self, read: Read, low: bytes, high: bytes, *, descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yields keys and rows with low < key < high, in order. Raises Damaged."""
        order = "DESC" if descending else "ASC"
        query = (
            f'SELECT fence, chunk FROM "{self._name}" WHERE fence >= ? AND fence < ?'  # noqa: S608 - our names
            f" ORDER BY fence {order} LIMIT ?"
        )
        # The chunk that the low key belongs to may have keys above it.
        below = f'SELECT max(fence) FROM "{self._name}" WHERE fence <= ?'  # noqa: S608 - our names
        first = read(below, (low,))[0][0] or _FIRST_FENCE
        limit = 1
        while True:
            found = read(query, (first, high, limit))
            for fence, stored in found:
                _fence, keys, rows = self.opened(fence, stored)
                start, end = bisect_right(keys, low), bisect_left(keys, high)
                inside = list(zip(keys[start:end], rows[start:end], strict=True))
                yield from reversed(inside) if descending else inside
            if len(found) < limit:
                return
            # A chunk may have been cut since: no piece of it may come again.
            if descending:
                high = fence
            else:
                first = keys[-1] + _NEXT
            limit = min(4 * limit, SCAN_CHUNKS_MAX)

    def write(
        self, connection: sqlite3.Connection, changes: Iterable[tuple[bytes, bytes | None]]
    ) -> None:
        """Writes rows in the order of their keys; a row that is None is deleted."""
        ordered = iter(changes)
        while batch := list(islice(ordered, BATCH_ROWS)):
            keys = [key for key, _row in batch]
            self._write_batch(connection, keys, [row for _key, row in batch])

    def _write_batch(
        self, connection: sqlite3.Connection, keys: list[bytes], rows: list[bytes | None]
    ) -> None:
        puts: list[bytes] = []
        start = 0
        while start < len(keys):
            # What is still to be put lies below, and does not matter here.
            old, above = self._find(connection, keys[start])
            end = len(keys) if above is None else bisect_left(keys, above, start)
            chunks = _cut(old, *_merged(old, keys[start:end], rows[start:end]))
            for chunk in chunks:
                puts += (chunk.fence, self._sealer.sealed(chunk.fence, _encode(chunk[1:])))
            if not chunks:
                self._delete(connection, old.fence)
            if len(puts) >= 2 * STATEMENT_CHUNKS:
                self._put(connection, puts)
                puts = []
            start = end
        self._put(connection, puts)

    def _find(self, connection: sqlite3.Connection, key: bytes) -> tuple[Chunk, bytes | None]:
        """Returns the chunk that a key belongs to, and the fence of the next one, or None."""
        above = f'(SELECT min(fence) FROM "{self._name}" WHERE fence > ?1)'  # noqa: S608 - our names
        found = connection.execute(
            f'SELECT fence, chunk, {above} FROM "{self._name}" WHERE fence <= ?1'  # noqa: S608 - our names
            " ORDER BY fence DESC LIMIT 1",
            (key,),
        ).fetchall()
        if found:
            [(fence, stored, next_fence)] = found
            return self.opened(fence, stored), next_fence
        [[next_fence]] = connection.execute(f"SELECT {above}", (key,)).fetchall()
        return Chunk(_FIRST_FENCE, [], []), next_fence

    def _put(self, connection: sqlite3.Connection, puts: Sequence[bytes]) -> None:
        if puts:
            places = ", ".join(["(?, ?)"] * (len(puts) // 2))
            connection.execute(f'INSERT OR REPLACE INTO "{self._name}" VALUES {places}', puts)  # noqa: S608 - our names

    def _delete(self, connection: sqlite3.Connection, fence: bytes) -> None:
        connection.execute(f'DELETE FROM "{self._name}" WHERE fence = ?', (fence,))  # noqa: S608 - our names


def _merged(
    old: Chunk, keys: list[bytes], changed: list[bytes | None]
) -> tuple[list[bytes], list[bytes]]:
    """Returns the keys and rows of a chunk, in order, once changes in order were made to it."""
    rows: list[Any]
    if old.keys and keys[0] <= old.keys[-1]:
        rows_by_key: dict[bytes, bytes | None] = dict(zip(old.keys, old.rows, strict=True))
        rows_by_key.update(zip(keys, changed, strict=True))
        keys = sorted(rows_by_key)
        rows = [rows_by_key[key] for key in keys]
    else:
        keys, rows = old.keys + keys, [*old.rows, *changed]
    if None in rows:
        keys = [key for key, row in zip(keys, rows, strict=True) if row is not None]
        rows = [row for row in rows if row is not None]
    return keys, rows


def _cut(old: Chunk, keys: list[bytes], rows: list[bytes]) -> list[Chunk]:
    """Returns what a chunk has become, as chunks of a good size."""
    count = len(keys)
    # How many bytes there are before each row, and behind the last.
    before = list(accumulate(map(add, map(len, keys), map(len, rows)), initial=0))
    # Where rows were added behind all others, more will follow: chunks are filled. Elsewhere all
    # get the same room, or there would be a nearly empty one after each full one.
    is_appended = bool(keys) and (not old.keys or keys[-1] > old.keys[-1])
    pieces = -(-before[-1] // CHUNK_BYTES)
    chunks: list[Chunk] = []
    start = 0
    while start < count:
        left = before[-1] - before[start]
        if is_appended or left <= CHUNK_BYTES:
            end = bisect_right(before, before[start] + CHUNK_BYTES) - 1
        else:
            end = bisect_left(before, before[start] + left // max(pieces - len(chunks), 1))
        end = min(max(end, start + 1), count)
        fence = keys[start] if start else old.fence
        chunks.append(Chunk(fence, keys[start:end], rows[start:end]))
        start = end
    return chunks
