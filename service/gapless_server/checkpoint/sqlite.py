"""Checkpoints in SQLite: a file a namespace beside the log's, a table a table (chunks.py).

One connection writes, in a thread of its own; one reads, on the event loop: a lookup in a file
that is mostly in the page cache takes some microseconds, less than a hop between threads. The log
is synced before a checkpoint, and brings back what a checkpoint lost.

What is read is what was written (C2): a start compares all pages (page_sum.py), a read checks its
rows (seals.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite
import msgspec
import structlog

from gapless_server.checkpoint.chunks import ChunkTable
from gapless_server.checkpoint.damage import cannot_be_used, is_damage
from gapless_server.checkpoint.page_sum import PageSum, sum_path
from gapless_server.checkpoint.port import (
    Changes,
    CheckpointHead,
    Damaged,
    RequestLoader,
    RequestPairs,
    RequestShard,
)
from gapless_server.checkpoint.request_tables import (
    REQUEST_TABLES,
    read_requests,
    write_requests,
)
from gapless_server.checkpoint.rewriting import write_anew
from gapless_server.checkpoint.seals import Sealer
from gapless_server.checkpoint.write_ahead_log import PAGE_BYTES
from gapless_server.journal.port import Head
from gapless_server.journal.sqlite_faults import without_patience

_log = structlog.get_logger()

# Raise with every change of a row, a key or a table: old checkpoints are then rebuilt.
FORMAT_VERSION = 7

# What a reading connection keeps of the file; the page cache of the system has the rest.
_CACHE_KIB = 32 * 1024

_META = Sealer("meta")
# What is kept beside the rows of the state.
OWN_TABLES = frozenset({"meta", "request_image", "request_tail"})

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    *REQUEST_TABLES,
)
# What a file that is not what was written can bring about when it is read.
_DAMAGES = (Damaged, sqlite3.DatabaseError, msgspec.MsgspecError)
SELECT_HEAD = "SELECT value FROM meta WHERE name = 'head'"


class StoredHead(NamedTuple):
    """What a checkpoint says of itself."""

    incarnation: str
    at: CheckpointHead
    number: int
    """Which write this is of, from 1."""


def read_head(stored: bytes) -> StoredHead | None:
    """Returns what a checkpoint says of itself; None if it has another format. Raises Damaged."""
    meta: dict[str, Any] = msgspec.msgpack.decode(_META.opened(b"head", stored))
    if meta["format"] != FORMAT_VERSION:
        return None
    head = Head(meta["position"], meta["chain_hash"])
    at = CheckpointHead(head, meta["time_us"], meta["uptime_us"])
    return StoredHead(meta["incarnation"], at, meta["number"])


class SqliteCheckpoint:
    """The checkpoint of one log in one SQLite file."""

    def __init__(self, path: Path, incarnation: str) -> None:
        self._path = path
        self._incarnation = incarnation
        self._at = CheckpointHead()
        self._writer: aiosqlite.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        # Held by what takes more than one statement.
        self._exclusive = asyncio.Lock()
        # Tables that the file has; a read of any other finds nothing.
        self._tables: dict[str, ChunkTable] = {}
        self._sum = PageSum(path)
        # Commits whose pages the sum does not have yet. Counted in the thread of the connection.
        self._commits = 0
        # Whether the whole file was written anew since the last write.
        self._is_rewritten = False

    @property
    def at(self) -> CheckpointHead:
        """Where in the log the checkpoint stands."""
        return self._at

    async def open(self) -> None:
        """Opens the file, if there is one. One that cannot be used is thrown away.

        The file comes into being with the first write, so that reading leaves nothing behind.
        Raises OSError if the file cannot be had just now: it may be good.
        """
        if not self._path.exists():
            # Whoever deleted it may have left its sum, with numbers that a new file begins below.
            self._forget()
            return
        try:
            await asyncio.to_thread(self._sum.restore)
            await self._connect()
            usable = await self._read_meta()
        except Exception as error:
            if not cannot_be_used(error):
                await self.close()
                raise OSError(f"{self._path}: {error}") from error
            _log.warning("checkpoint_damaged", path=str(self._path), description=str(error))
            usable = False
        if not usable:
            await self.close()
            self._forget()
            self._at = CheckpointHead()
            self._tables = {}
            self._sum = PageSum(self._path)

    async def close(self) -> None:
        """Closes the connections."""
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            await self._writer.close()
        self._reader = self._writer = None
        self._sum.close()

    def get(self, table: str, key: bytes) -> bytes | None:
        """Returns a row, or None. Raises Damaged."""
        found = self._tables.get(table)
        try:
            return None if found is None else found.get(self._read, key)
        except _DAMAGES as error:
            raise self._damaged(str(error)) from error

    def scan(
        self, table: str, low: bytes, high: bytes, *, descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yields keys and rows with low < key < high, in order. Raises Damaged."""
        found = self._tables.get(table)
        try:
            if found is not None:
                yield from found.scan(self._read, low, high, descending=descending)
        except _DAMAGES as error:
            raise self._damaged(str(error)) from error

    async def load_requests(self, loader: RequestLoader) -> None:
        """Hands over what is stored of the request index. Raises Damaged or OSError."""
        if self._writer is not None:
            try:
                await self._in_writer_thread(lambda connection: read_requests(connection, loader))
            except sqlite3.Error as error:
                raise OSError(f"{self._path}: {error}") from error

    async def write(
        self,
        at: CheckpointHead,
        changes: Changes,
        requests: RequestPairs,
        shards: list[RequestShard],
    ) -> None:
        """Moves the checkpoint to `at`, in one transaction. Raises Damaged."""
        async with self._exclusive:
            if self._writer is None:
                try:
                    await self._connect()
                except BaseException:
                    # Half a connection would keep all later writes from a file that may be made.
                    await self.close()
                    raise
            self._tables = await self._in_writer_thread(
                lambda connection: self._write(connection, at, changes, requests, shards)
            )
            for table in self._tables.values():
                table.written()
            # From here on it is read, whether the sum can be written now or with the next one.
            self._at = at
            await self._in_writer_thread(lambda connection: self._count(connection, "PASSIVE"))

    async def scrub(self) -> bool:
        """Writes the whole file anew, and empties the write-ahead log.

        One piece of work for the thread: whoever waits for it may be cancelled, as by a stop, and
        what was committed then has to count all the same. `close` comes after it.
        """
        if self._writer is None:
            return True
        async with self._exclusive:
            at = self._at
            done: bool = await self._in_writer_thread(
                lambda connection: self._scrub(connection, at)
            )
            return done

    def _scrub(self, connection: sqlite3.Connection, at: CheckpointHead) -> bool:
        # Once is enough, however long a reader keeps the write-ahead log, which has all of it then.
        if not self._is_rewritten:
            # Not only the rows that are gone: SQLite leaves copies of others where it splits pages.
            write_anew(connection, self._path.parent)
            self._commits += 1
            self._is_rewritten = True
        # As every commit that the sum is told of, it ends with the number of the sum.
        self._write_meta(connection, at)
        self._commits += 1
        # A reader is not waited for: checkpoints wait for this thread, and rounds for them.
        with without_patience(connection):
            return self._count(connection, "TRUNCATE")

    def _count(self, connection: sqlite3.Connection, mode: str) -> bool:
        """Makes what was committed count, and moves it out of the write-ahead log.

        Returns False if a reader still needs the log.
        """
        self._sum.note(self._commits)
        self._commits = 0
        query = f"PRAGMA wal_checkpoint({mode})"
        [[busy, _pages, _moved]] = connection.execute(query).fetchall()
        return not busy

    def _write(
        self,
        connection: sqlite3.Connection,
        at: CheckpointHead,
        changes: Changes,
        requests: RequestPairs,
        shards: list[RequestShard],
    ) -> dict[str, ChunkTable]:
        """Commits all of it; returns the tables that there are then."""
        tables = dict(self._tables)
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _TABLES:
                connection.execute(statement)
            for table, rows in changes:
                ordered = iter(rows)
                if (first := next(ordered, None)) is None:
                    continue
                # Not before it has a row: a table is two pages, and a namespace uses few of them.
                if table not in tables:
                    tables[table] = ChunkTable(table)
                    tables[table].create(connection)
                tables[table].write(connection, chain((first,), ordered))
            write_requests(connection, requests, shards)
            self._write_meta(connection, at)
            connection.execute("COMMIT")
            self._commits += 1
            self._is_rewritten = False
        except BaseException:
            # A full disk has taken it back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return tables

    async def _in_writer_thread(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Runs `work` with the connection in its thread: encoding rows is not for the loop.

        Raises Damaged.
        """
        assert self._writer is not None
        try:
            return await self._writer._execute(work, self._writer._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001 - aiosqlite offers no public way to run a function there
        except Exception as error:
            if is_damage(error):
                raise self._damaged(str(error)) from error
            raise

    def _write_meta(self, connection: sqlite3.Connection, at: CheckpointHead) -> None:
        values = {
            "format": FORMAT_VERSION,
            "incarnation": self._incarnation,
            "position": at.head.position,
            "chain_hash": at.head.chain_hash,
            "time_us": at.time_us,
            "uptime_us": at.uptime_us,
            "number": self._sum.number + 1,
        }
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('head', ?)",
            (_META.sealed(b"head", msgspec.msgpack.encode(values)),),
        )

    async def _connect(self) -> None:
        # Nobody else's to read, as the log is not.
        self._path.touch(mode=0o600)
        self._writer = await aiosqlite.connect(self._path, isolation_level=None)
        for statement in (
            f"PRAGMA page_size = {PAGE_BYTES}",
            "PRAGMA journal_mode = WAL",
            # The sum of the pages must not be on the disk before they are.
            "PRAGMA synchronous = FULL",
            "PRAGMA secure_delete = ON",
            # What a statement may have to take back is as much as it writes; see rewriting.py, too.
            "PRAGMA temp_store = MEMORY",
            # Pages are moved once the sum has them.
            "PRAGMA wal_autocheckpoint = 0",
        ):
            await self._writer.execute_fetchall(statement)
        found = await self._fetch("SELECT name FROM sqlite_schema WHERE type = 'table'")
        self._tables = {name: ChunkTable(name) for (name,) in found if name not in OWN_TABLES}
        self._reader = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        self._reader.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    async def _read_meta(self) -> bool:
        """Reads where the checkpoint stands; False if it is of another log or format."""
        rows = await self._fetch(SELECT_HEAD)
        found = read_head(rows[0][0]) if rows else None
        if found is None or found.incarnation != self._incarnation:
            return False
        if found.number != self._sum.number:
            raise Damaged(f"it is of write {found.number}, its sum is of {self._sum.number}")
        self._at = found.at
        return True

    async def _fetch(self, query: str) -> list[Any]:
        assert self._writer is not None
        return list(await self._writer.execute_fetchall(query))

    def _read(self, query: str, parameters: tuple[bytes | int, ...]) -> list[Any]:
        assert self._reader is not None
        return self._reader.execute(query, parameters).fetchall()

    def _damaged(self, description: str) -> Damaged:
        """The file is not to be used again: the next start rebuilds it from the log (C2)."""
        self._forget()
        return Damaged(f"{self._path}: {description}; it is rebuilt at the next start")

    def _forget(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        sum_path(self._path).unlink(missing_ok=True)


class SqliteCheckpointStore:
    """The checkpoints in one directory, beside the logs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def open(self, namespace: str, incarnation: str) -> SqliteCheckpoint:
        """Opens the checkpoint of a log; an empty one, if there is none that can be used."""
        checkpoint = SqliteCheckpoint(self._directory / f"{namespace}.state", incarnation)
        await checkpoint.open()
        return checkpoint
