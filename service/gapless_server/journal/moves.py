"""Moves committed pages out of a log's write-ahead log into its database, between commits.

SQLite would do it within every thousandth commit, which then takes some twenty times as long as
others. Here it is done more often and by less, in the connection's own thread right after a commit:
most of it is over before the next round comes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Final

import aiosqlite
import structlog

from gapless_server.journal.schema import PAGE_BYTES

_log = structlog.get_logger()

# So much is moved at a time. Less costs more syncs in all, more takes longer at once.
MOVE_BYTES: Final = 1024 * 1024
# What a round takes at most beside its data: the page of its row, and one that is not full.
_ROUND_PAGES: Final = 2


class Moves:
    """The moves of one log, by the one connection that writes it."""

    def __init__(self, writer: aiosqlite.Connection) -> None:
        """Takes a connection whose `wal_autocheckpoint` is 0."""
        self._writer = writer
        self._unmoved_bytes = 0
        self._move: asyncio.Task[None] | None = None

    def committed(self, data_bytes: int) -> None:
        """Takes note of a round that was committed, and begins a move if one is due."""
        self._unmoved_bytes += data_bytes + _ROUND_PAGES * PAGE_BYTES
        if self._unmoved_bytes >= MOVE_BYTES and (self._move is None or self._move.done()):
            self._unmoved_bytes = 0
            self._move = asyncio.create_task(self._run(), name="move")

    async def settle(self) -> None:
        """Returns once nothing is being moved."""
        if self._move is not None:
            await asyncio.wait([self._move])

    async def _run(self) -> None:
        try:
            await self._writer._execute(_move, self._writer._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001 - aiosqlite offers no public way to run a function there
        except (sqlite3.Error, OSError) as error:
            # Everything is in the write-ahead log still: the next move takes it along.
            _log.warning("move_failed", description=str(error))


def _move(connection: sqlite3.Connection) -> None:
    # A transaction that rewrites rounds takes several turns; what it leaves is moved later.
    if not connection.in_transaction:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
