"""Reads the rounds of a SQLite log, and lets nothing through that is not what was written.

SQLite has no checksums of its own for what lies in the database: a flipped bit in a page goes
unnoticed, and so does a page of an older moment. So every round that is read is checked: it must
be the next link of the chain after the round before it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import aiosqlite

from gapless_server.journal.port import (
    EMPTY_HEAD,
    Corrupt,
    Head,
    JournalError,
    Round,
    digest_of,
)
from gapless_server.journal.schema import ROUND_COLUMNS, SINCE_DIGEST_COLUMN
from gapless_server.journal.sqlite_faults import is_in_the_way

# How many rounds a read takes from SQLite at a time, and how many bytes are enough: few hops
# between threads, little memory. A round alone may have many times as much.
READ_ROUNDS: Final = 64
READ_BYTES: Final = 4 * 1024 * 1024

# Rounds are found by their first position; the one that holds a position is the last to begin
# at or before it.
_HOLDS: Final = "(SELECT ifnull(max(first_position), 0) FROM rounds WHERE first_position <= ?)"
_SELECT: Final = f"""
SELECT {ROUND_COLUMNS}, {SINCE_DIGEST_COLUMN} FROM rounds AS r
WHERE first_position >= {_HOLDS} ORDER BY first_position LIMIT ?
"""  # noqa: S608 - our names
_SELECT_BEFORE: Final = f"""
SELECT last_position, chain_hash FROM rounds
WHERE first_position < {_HOLDS} ORDER BY first_position DESC LIMIT 1
"""  # noqa: S608 - our names


def unreadable(path: Path, error: sqlite3.Error) -> JournalError:
    """Tells damage from what stands in the way: a full disk, a failing one, a lock."""
    if is_in_the_way(error):
        return JournalError(f"{path}: {error}")
    return Corrupt(f"{path}: {error}")


class RoundReader:
    """Reads one log beside its writer, through a connection that only reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: asyncio.Future[aiosqlite.Connection] | None = None
        self._closed = False

    async def read(
        self, from_position: int, head_position: Callable[[], int]
    ) -> AsyncIterator[Round]:
        """Yields the rounds from the one that holds `from_position` up to the head.

        The head may move on meanwhile. Raises Corrupt where a round is missing or is not what was
        committed.
        """
        position, before = from_position, await self._before(from_position)
        # Often nobody wants more than the first.
        rounds = 1
        while position <= head_position():
            rows = await self._rows(_SELECT, position, rounds)
            rounds = READ_ROUNDS
            if not rows:
                raise Corrupt(f"{self._path}: no round holds position {position}")
            for *fields, since_digest in rows:
                if position > head_position():
                    return
                record = Round._make(fields)
                self._require_intact(record, before, since_digest, position)
                yield record
                before = Head(record.last_position, record.chain_hash)
                position = record.last_position + 1

    async def close(self) -> None:
        """Closes the connection; who still reads is told that the log is closed."""
        self._closed = True
        opening, self._connection = self._connection, None
        if opening is not None:
            with suppress(sqlite3.Error, RuntimeError):  # then there is none
                await (await opening).close()

    async def _before(self, position: int) -> Head:
        rows = await self._rows(_SELECT_BEFORE, position)
        if not rows:
            return EMPTY_HEAD
        before = Head(*rows[0])
        require_head(self._path, before)
        return before

    def _require_intact(
        self, record: Round, before: Head, since_digest: bytes | None, position: int
    ) -> None:
        if not is_round(record):
            raise Corrupt(f"{self._path}: the round after position {before.position} is damaged")
        if not record.first_position <= position <= record.last_position:
            raise Corrupt(
                f"{self._path}: no round holds position {position}; the one after position"
                f" {before.position} has {record.first_position} to {record.last_position}"
            )
        if not record.follows(before):
            raise Corrupt(
                f"{self._path}: the round of positions {record.first_position} to"
                f" {record.last_position} is not what was committed after position"
                f" {before.position}: its hash does not fit"
            )
        if since_digest and digest_of(record.data) != since_digest:
            raise Corrupt(
                f"{self._path}: the round of positions {record.first_position} to"
                f" {record.last_position} is not what an erasure has left of it"
            )

    async def _rows(self, query: str, *parameters: int) -> list[Any]:
        try:
            connection = await self._connected()
            return await connection._execute(_fetch, connection._conn, query, parameters)  # type: ignore[no-any-return, no-untyped-call]  # noqa: SLF001 - aiosqlite offers no public way to run a function there
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from error
        except RuntimeError as error:
            # A thread that cannot be started, as there are too many.
            raise JournalError(f"{self._path}: {error}") from error

    async def _connected(self) -> aiosqlite.Connection:
        """The connection of all readers. Many may want it first at once, and some go away.

        One that were left open would keep the process from ending: it has a thread.
        """
        if self._closed:
            raise JournalError(f"{self._path}: the log is closed")
        if self._connection is None:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            self._connection = asyncio.ensure_future(
                aiosqlite.connect(uri, uri=True, isolation_level=None)
            )
        opening = self._connection
        try:
            return await asyncio.shield(opening)
        except (sqlite3.Error, RuntimeError):
            if self._connection is opening:
                self._connection = None
            raise


def _fetch(connection: sqlite3.Connection, query: str, parameters: tuple[int, ...]) -> list[Any]:
    """Returns rows, at least one if there are any, until they have enough bytes together."""
    rows = []
    size_bytes = 0
    with closing(connection.execute(query, parameters)) as cursor:
        for row in cursor:
            rows.append(row)
            size_bytes += sum(len(value) for value in row if isinstance(value, bytes))
            if size_bytes >= READ_BYTES:
                break
    return rows


def require_head(path: Path, head: Head) -> None:
    """Raises Corrupt if what was read as the head of a round cannot be one."""
    if not _is_head(head):
        raise Corrupt(f"{path}: a round ends at position {head.position!r}: its row is damaged")


def _is_head(head: Head) -> bool:
    return (
        isinstance(head.position, int)
        and head.position > 0
        and isinstance(head.chain_hash, bytes)
        and len(head.chain_hash) == len(EMPTY_HEAD.chain_hash)
    )


def is_round(record: Round) -> bool:
    """Whether the values are of the right kind: those of a damaged row may be anything."""
    return (
        _is_head(Head(record.last_position, record.chain_hash))
        and isinstance(record.first_position, int)
        and record.first_position > 0
        and isinstance(record.data, bytes)
        and isinstance(record.data_digest, bytes | None)
    )
