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
from typing import Any, Final, NamedTuple, cast

import msgspec

from gapless_server.checkpoint.seals import Sealer
from gapless_server.compiled import AVAILABLE
from gapless_server.core.keys import AFTER_ALL_KEYS

# Keys and rows of a chunk, in bytes; a larger row has one of its own. A page holds three.
CHUNK_BYTES: Final = 5_300

# How many rows are taken through all steps at a time: the processor's caches hold so many.
BATCH_ROWS: Final = 1_000

# From how many chunks on a statement writes them. With one a statement, each takes twice the time,
# and has this thread and that of the event loop take the interpreter from each other.
STATEMENT_CHUNKS: Final = 50

# How many chunks a scan takes at a time, so that no read is open while the state changes: first
# one, as many want only one row, then more and more.
SCAN_CHUNKS_MAX: Final = 16

# Up to this part of a chunk, its changes are made one by one.
_FEW_PART: Final = 4

_FIRST_FENCE: Final = b""
# A key with this at its end is the next one.
_NEXT: Final = b"\0"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[bytes], list[bytes]]).decode

# Of a key that is not there, as that of a new message, the rows are not needed.
_decode_keys = msgspec.msgpack.Decoder(tuple[list[bytes], msgspec.Raw]).decode
_decode_rows = msgspec.msgpack.Decoder(list[bytes]).decode

# Runs a query and returns what it finds.
Read = Callable[[str, tuple[bytes | int, ...]], list[Any]]


class Chunk(NamedTuple):
    """Rows that lie together, in the order of their keys."""

    fence: bytes
    keys: list[bytes]
    rows: list[bytes]


class _LastRead(NamedTuple):
    """A chunk, and all keys that could be in it: those below the fence of the next one."""

    fence: bytes
    above: bytes
    keys: list[bytes]
    rows: msgspec.Raw


class ChunkTable:
    """One table: how its chunks are written and read. The connections are somebody else's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sealer = Sealer(name)
        # What was read last: who asks for one row often asks for its neighbour next.
        self._last_read: _LastRead | None = None

    def create(self, connection: sqlite3.Connection) -> None:
        """Makes the table.

        Not WITHOUT ROWID: a search would then read all of each chunk that it only passes.
        """
        connection.execute(
            f'CREATE TABLE "{self._name}" (fence BLOB PRIMARY KEY NOT NULL, chunk BLOB NOT NULL)'
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
        if chunk is None or not chunk.fence <= key < chunk.above:
            found = read(
                f'SELECT fence, chunk, (SELECT min(fence) FROM "{self._name}" WHERE fence > ?1)'  # noqa: S608 - our names
                f' FROM "{self._name}" WHERE fence <= ?1 ORDER BY fence DESC LIMIT 1',
                (key,),
            )
            if not found:
                return None
            [(fence, stored, above)] = found
            keys, rows = _decode_keys(self._sealer.opened(fence, stored))
            above = AFTER_ALL_KEYS if above is None else above
            chunk = self._last_read = _LastRead(fence, above, keys, rows)
        index = bisect_left(chunk.keys, key)
        if index < len(chunk.keys) and chunk.keys[index] == key:
            return _decode_rows(chunk.rows)[index]
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
        ahead = _Ahead(self._name, connection)
        start = 0
        while start < len(keys):
            found, above = ahead.find(keys[start])
            old = Chunk(_FIRST_FENCE, [], []) if found is None else self.opened(*found)
            end = len(keys) if above is None else bisect_left(keys, above, start)
            chunks = _changed(old, keys[start:end], rows[start:end])
            for chunk in chunks:
                puts += (chunk.fence, self._sealer.sealed(chunk.fence, _encode(chunk[1:])))
            if not chunks:
                self._delete(connection, old.fence)
            if len(puts) >= 2 * STATEMENT_CHUNKS:
                self._put(connection, puts)
                puts = []
            start = end
        self._put(connection, puts)

    def _put(self, connection: sqlite3.Connection, puts: Sequence[bytes]) -> None:
        if puts:
            places = ", ".join(["(?, ?)"] * (len(puts) // 2))
            connection.execute(f'INSERT OR REPLACE INTO "{self._name}" VALUES {places}', puts)  # noqa: S608 - our names

    def _delete(self, connection: sqlite3.Connection, fence: bytes) -> None:
        connection.execute(f'DELETE FROM "{self._name}" WHERE fence = ?', (fence,))  # noqa: S608 - our names


class _Ahead:
    """Finds the chunks that keys in order belong to; many in one query, if they lie close.

    What is written of those that were found before matters no more.
    """

    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        self._query = (
            f'SELECT fence, chunk FROM "{name}" WHERE fence >='  # noqa: S608 - our names
            f" ifnull((SELECT max(fence) FROM \"{name}\" WHERE fence <= ?), x'')"
            " ORDER BY fence LIMIT ?"
        )
        self._connection = connection
        self._fences: list[bytes] = []
        self._stored: list[tuple[bytes, bytes]] = []
        # At least two, as the fence of the next chunk is asked for, too.
        self._limit = 2
        self._used = 0

    def find(self, key: bytes) -> tuple[tuple[bytes, bytes] | None, bytes | None]:
        """Returns a key's chunk, as it is stored, and the fence of the next one; None: neither."""
        if not self._fences or (key >= self._fences[-1] and len(self._fences) == self._limit):
            self._read(key)
        index = bisect_right(self._fences, key)
        self._used += 1
        above = self._fences[index] if index < len(self._fences) else None
        return (self._stored[index - 1] if index else None), above

    def _read(self, key: bytes) -> None:
        most_were_used = 2 * self._used > len(self._fences) > 0
        self._limit = min(2 * self._limit, SCAN_CHUNKS_MAX) if most_were_used else 2
        self._used = 0
        self._stored = self._connection.execute(self._query, (key, self._limit)).fetchall()
        self._fences = [fence for fence, _chunk in self._stored]


def _changed(old: Chunk, keys: list[bytes], rows: list[bytes | None]) -> list[Chunk]:
    """Returns what a chunk becomes by changes that are in order; none if no row is left."""
    before = bisect_left(old.keys, keys[0])
    behind = len(old.keys) - before
    is_run = not behind or keys[-1] < old.keys[before]
    if is_run and None not in rows:
        new = cast("list[bytes]", rows)
        # Most often they come behind all others; or between two, as those of a partition whose
        # next one begins in the same chunk. Then the next one gets a chunk of its own, so that
        # later ones come behind all others. Not for a few rows: chunks would become small.
        if not behind or sum(map(len, new)) >= CHUNK_BYTES // 3:
            chunks = _filled(old.fence, old.keys[:before] + keys, old.rows[:before] + new)
            if behind:
                chunks.append(Chunk(old.keys[before], old.keys[before:], old.rows[before:]))
            return chunks
    merged = _merged(old, keys, rows)
    if not old.keys or keys[-1] > old.keys[-1]:
        return _filled(old.fence, *merged)
    return _evenly_cut(old.fence, *merged)


def _merged(
    old: Chunk, keys: list[bytes], rows: list[bytes | None]
) -> tuple[list[bytes], list[bytes]]:
    if len(keys) > len(old.keys) // _FEW_PART:
        changed: dict[bytes, bytes | None] = dict(zip(old.keys, old.rows, strict=True))
        changed.update(zip(keys, rows, strict=True))
        kept = {key: row for key in sorted(changed) if (row := changed[key]) is not None}
        return list(kept), list(kept.values())
    # Where a few keys are random, there are thousands of such chunks.
    new_keys, new_rows = old.keys.copy(), old.rows.copy()
    for key, row in zip(keys, rows, strict=True):
        index = bisect_left(new_keys, key)
        if index < len(new_keys) and new_keys[index] == key:
            del new_keys[index], new_rows[index]
        if row is not None:
            new_keys.insert(index, key)
            new_rows.insert(index, row)
    return new_keys, new_rows


def _bytes_before(keys: list[bytes], rows: list[bytes]) -> list[int]:
    """Returns how many bytes there are before each row, and all of them."""
    return list(accumulate(map(add, map(len, keys), map(len, rows)), initial=0))


def _filled(fence: bytes, keys: list[bytes], rows: list[bytes]) -> list[Chunk]:
    """Returns chunks that have all that they can have, but for the last: more will follow it."""
    chunks: list[Chunk] = []
    start = 0
    for end in filled_ends(keys, rows, CHUNK_BYTES):
        chunks.append(Chunk(keys[start] if start else fence, keys[start:end], rows[start:end]))
        start = end
    return chunks


def _filled_ends(keys: list[bytes], rows: list[bytes], bytes_max: int) -> list[int]:
    """Returns where rows in order are cut, so that each piece has as many as it can have."""
    before = _bytes_before(keys, rows)
    ends: list[int] = []
    start = 0
    while start < len(keys):
        start = max(bisect_right(before, before[start] + bytes_max) - 1, start + 1)
        ends.append(start)
    return ends


# Both forms do the same.
if AVAILABLE:
    from gapless_server.compiled.rows import filled_ends
else:
    filled_ends = _filled_ends


def _evenly_cut(fence: bytes, keys: list[bytes], rows: list[bytes]) -> list[Chunk]:
    """Returns as few chunks as there can be, of about one size: there is room in each.

    Filled ones would be full but for a nearly empty one, whenever a row came between theirs.
    """
    if sum(map(len, keys)) + sum(map(len, rows)) <= CHUNK_BYTES:
        return [Chunk(fence, keys, rows)] if keys else []
    before = _bytes_before(keys, rows)
    pieces = -(-before[-1] // CHUNK_BYTES)
    chunks: list[Chunk] = []
    start = 0
    while start < len(keys):
        share = (before[-1] - before[start]) // max(pieces - len(chunks), 1)
        end = max(bisect_left(before, before[start] + share), start + 1)
        chunks.append(Chunk(keys[start] if start else fence, keys[start:end], rows[start:end]))
        start = end
    return chunks
