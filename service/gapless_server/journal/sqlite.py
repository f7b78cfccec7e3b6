"""The SQLite journal: a file a namespace, a row a round, one fsync a commit.

One connection writes and checkpoints; readers open the file read-only: releases of SQLite up to
3.51.2 can corrupt a write-ahead log that two connections write or checkpoint at once. WAL with
synchronous=FULL syncs the log at every commit, which is what survives a loss of power.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite

from gapless_server.journal.copies import new_draft
from gapless_server.journal.drafts import DraftLog
from gapless_server.journal.moves import Moves
from gapless_server.journal.ownership import FileLock
from gapless_server.journal.port import (
    EMPTY_HEAD,
    Corrupt,
    Head,
    JournalError,
    NoRoom,
    NotKept,
    OutcomeUnknown,
    Round,
)
from gapless_server.journal.presence import Presence
from gapless_server.journal.reading import (
    RoundReader,
    require_head,
    unreadable,
)
from gapless_server.journal.schema import (
    APPLICATION_ID,
    FORMAT_VERSION,
    INSERT_REWRITTEN,
    INSERT_ROUND,
    rewritten_values,
)
from gapless_server.journal.sqlite_faults import is_damaged, is_full, without_patience
from gapless_server.journal.witness import Witness, require_nothing_left_of

INCARNATION_CHARACTERS = 16

# Room that must be there before a full disk is tried again: a few rounds of the largest size.
ROOM_BYTES_MIN = 1024 * 1024

_REWRITE = "UPDATE rounds SET data = ? WHERE first_position = ?"
# While old pages may still hold what was erased.
_ERASURE_PENDING = "erasure_pending"


def sync_directory(path: Path) -> None:
    """Makes the names in a directory survive a loss of power."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _truncate(connection: sqlite3.Connection) -> bool:
    """Empties the write-ahead log; False if a reader needs it, who is not waited for.

    Else every commit would wait for that reader too: there is one connection for both.
    """
    with without_patience(connection):
        [[busy, *_]] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return not busy


def _commit(
    connection: sqlite3.Connection,
    record: Round,
    presence: Presence,
    witness: Witness,
    head: Head,
) -> None:
    """Makes a round durable, and notes the head that the log has then."""
    presence.require()
    # In autocommit mode one statement is one transaction.
    connection.execute(INSERT_ROUND, record[:4])
    witness.write(head)


class SqliteJournal:
    """The log of one namespace in one SQLite file, which comes into being with its first round."""

    def __init__(self, path: Path, owner_path: Path, drafts: Path) -> None:
        self._path = path
        self._owner_path = owner_path
        self._drafts = drafts
        self._lock: FileLock | None = None
        self._writer: aiosqlite.Connection | None = None
        self._reader = RoundReader(path)
        self._incarnation = secrets.token_hex(INCARNATION_CHARACTERS // 2)
        self._head = EMPTY_HEAD
        self._failed = False
        self._moves: Moves | None = None
        self._witness: Witness | None = None
        self._presence: Presence | None = None
        # Held by what takes more than one statement.
        self._exclusive = asyncio.Lock()
        self.erasure_pending = False
        self._newest_erasure = 0  # position of the entry, if of this process

    @classmethod
    async def open(cls, path: Path, owner_path: Path, drafts: Path) -> SqliteJournal:
        """Opens the log, there or not. Raises OwnedElsewhere, Corrupt or JournalError.

        A new one is made in `drafts`, a folder on the same disk.
        """
        journal = cls(path, owner_path, drafts)
        # One look at the disk, before anything is served.
        exists = path.exists()  # noqa: ASYNC240
        if not exists or path.stat().st_size == 0:  # noqa: ASYNC240
            require_nothing_left_of(path)
        if exists:
            await journal._open_file()
        return journal

    @property
    def incarnation(self) -> str:
        """The random name of this history of the log."""
        return self._incarnation

    @property
    def head(self) -> Head:
        """The newest durable position."""
        return self._head

    async def append(self, record: Round) -> None:
        """Makes a round durable with one fsync."""
        self._require_next(record)
        if self._writer is None:
            await self._come_into_being()
        assert self._writer is not None
        assert self._moves is not None
        assert self._witness is not None
        assert self._presence is not None
        head = Head(record.last_position, record.chain_hash)
        noting = self._presence, self._witness, head
        try:
            # One hop between threads: where the loop is busy, each waits for the interpreter lock.
            await self._writer._execute(_commit, self._writer._conn, record, *noting)  # type: ignore[no-untyped-call]  # noqa: SLF001 - aiosqlite offers no public way to run a function there
        except (sqlite3.Error, OSError) as error:
            raise self._append_failed(error) from error
        self._head = head
        self._moves.committed(len(record.data))

    async def append_rewriting(self, record: Round, rewritten: AsyncIterator[Round]) -> None:
        """Makes a round durable, and others of before as they are to be, in one transaction.

        Nothing is to be moved after it: a scrub follows, which empties the write-ahead log.
        """
        self._require_next(record)
        assert self._writer is not None
        try:
            async with self._exclusive:
                # Before it is committed: an erasure of before may be ended right after.
                newest_erasure, self._newest_erasure = self._newest_erasure, record.last_position
                try:
                    await self._writer.execute_fetchall("BEGIN IMMEDIATE")
                    await self._writer.execute_fetchall(INSERT_ROUND, record[:4])
                    async for old in rewritten:
                        await self._writer.execute_fetchall(INSERT_REWRITTEN, rewritten_values(old))
                        await self._writer.execute_fetchall(
                            _REWRITE, (old.data, old.first_position)
                        )
                    await self._writer.execute_fetchall(
                        "INSERT OR REPLACE INTO meta VALUES (?, '1')", (_ERASURE_PENDING,)
                    )
                    await self._writer.execute_fetchall("COMMIT")
                except BaseException:
                    self._newest_erasure = newest_erasure
                    # A full disk may have ended the transaction.
                    if self._writer.in_transaction:
                        await self._writer.execute_fetchall("ROLLBACK")
                    raise
            self._head = Head(record.last_position, record.chain_hash)
            self.erasure_pending = True
            assert self._witness is not None
            self._witness.write(self._head)
        except (sqlite3.Error, OSError) as error:
            raise self._append_failed(error) from error

    async def scrub(self) -> bool:
        """Empties the write-ahead log; False if a reader still needs it."""
        assert self._writer is not None
        async with self._exclusive:
            truncated: bool = await self._writer._execute(_truncate, self._writer._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001 - as in append
        return truncated

    async def end_erasure(self, position: int) -> None:
        """Notes that no old page is left of what entries up to a position have erased."""
        assert self._writer is not None
        async with self._exclusive:
            if self._newest_erasure > position:
                return
            await self._writer.execute_fetchall(
                "DELETE FROM meta WHERE name = ?", (_ERASURE_PENDING,)
            )
        self.erasure_pending = False

    def _require_next(self, record: Round) -> None:
        if self._failed:
            raise OutcomeUnknown(f"{self._path}: an earlier commit failed; restart the service")
        if record.first_position != self._head.position + 1:
            raise ValueError(
                f"round begins at {record.first_position}, the head is {self._head.position}"
            )

    def _append_failed(self, error: Exception) -> JournalError:
        if is_full(error):
            return NoRoom(f"{self._path}: {error}")
        if is_damaged(error):
            return Corrupt(f"{self._path} cannot take another round: {error}")
        self._failed = True
        return OutcomeUnknown(f"{self._path}: {error}")

    def has_room(self) -> bool:
        """Says whether there is more room than a round could need."""
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES_MIN

    async def read(self, from_position: int) -> AsyncIterator[Round]:
        """Yields the rounds from the one that holds `from_position` on, up to the head."""
        if self._writer is None:
            return
        async for record in self._reader.read(from_position, lambda: self._head.position):
            yield record

    async def close(self) -> None:
        """Closes the file and gives it free, in this order."""
        try:
            await self._reader.close()
        finally:
            await self._give_free()

    async def _give_free(self) -> None:
        """Closes what a reader does not need; the file may be opened again."""
        if self._moves is not None:
            await self._moves.settle()
            self._moves = None
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        if self._witness is not None:
            self._witness.close()
            self._witness = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _come_into_being(self) -> None:
        """Makes the file, which is there whole or not at all, and opens it. Raises NotKept."""
        try:
            # It is there already if it was made before and could not be opened then.
            if not self._path.exists():
                await asyncio.to_thread(self._make_file)
            await self._open_file()
        except (sqlite3.Error, OSError, JournalError) as error:
            fault = NotKept if self.has_room() else NoRoom
            raise fault(f"{self._path} cannot be made: {error}") from error

    def _make_file(self) -> None:
        draft = new_draft(self._drafts, self._path.stem)
        try:
            with DraftLog(draft) as log:
                log.name(self._incarnation)
                log.finish()
            draft.rename(self._path)
        finally:
            for leftover in draft.parent.glob(f"{draft.name}*"):
                leftover.unlink()

    async def _open_file(self) -> None:
        try:
            self._lock = FileLock(self._path, self._owner_path)
            self._writer = await aiosqlite.connect(self._path, isolation_level=None)
            # Before anything is changed: a log that is not ours to read is left as it is.
            await self._require_format()
            await self._set_and_check("journal_mode", "WAL", "wal")
            await self._set_and_check("synchronous", "FULL", 2)
            await self._set_and_check("secure_delete", "ON", 1)
            await self._set_and_check("wal_autocheckpoint", "0", 0)
            self._moves = Moves(self._writer)
            await self._make_durable()
            await self._read_head()
            self._witness = Witness(self._path, self._incarnation)
            self._witness.check(self._head)
            # One that was behind, or could not be read, is a witness again.
            self._witness.write(self._head)
            self._presence = Presence(self._path)
        except sqlite3.Error as error:
            await self._give_free()
            raise unreadable(self._path, error) from error
        except (OSError, RuntimeError) as error:
            # Of the second kind: a thread that cannot be started, as there are too many.
            await self._give_free()
            raise JournalError(f"{self._path}: {error}") from error
        except BaseException:
            await self._give_free()
            raise

    async def _make_durable(self) -> None:
        """Syncs what a process left behind that was killed before it could (G2).

        All of it is shown from now on. It is written to the database too, because a system whose
        sync has failed takes what it holds for written, and would sync nothing.
        """
        assert self._writer is not None
        try:
            [[busy, *_]] = await self._writer.execute_fetchall("PRAGMA wal_checkpoint(FULL)")
        except sqlite3.Error as error:
            # Without room for the database, the write-ahead log has been synced before that.
            if not is_full(error):
                raise
        else:
            if busy:
                raise JournalError(f"{self._path}: another process reads it for too long")
        # Its name must survive a loss of power as well as what is in it, whoever made it.
        sync_directory(self._path.parent)

    async def _require_format(self) -> None:
        if await self._value("PRAGMA application_id") != APPLICATION_ID:
            raise JournalError(f"{self._path} is not a gapless log; move it away")
        version = await self._value("PRAGMA user_version")
        if version != FORMAT_VERSION:
            raise JournalError(
                f"{self._path} has format {version}, this version reads format {FORMAT_VERSION};"
                " run the version of gapless that wrote it, or a newer one"
            )

    async def _read_head(self) -> None:
        self._incarnation = await self._value("SELECT value FROM meta WHERE name = 'incarnation'")
        assert self._writer is not None
        rows = list(
            await self._writer.execute_fetchall(
                "SELECT last_position, chain_hash FROM rounds ORDER BY first_position DESC LIMIT 1"
            )
        )
        if rows:
            self._head = Head(*rows[0])
            require_head(self._path, self._head)
        if (
            not isinstance(self._incarnation, str)
            or len(self._incarnation) != INCARNATION_CHARACTERS
        ):
            raise Corrupt(f"{self._path}: its incarnation is damaged: {self._incarnation!r}")
        self.erasure_pending = bool(
            await self._value(f"SELECT count(*) FROM meta WHERE name = '{_ERASURE_PENDING}'")  # noqa: S608 - our name
        )

    async def _set_and_check(self, pragma: str, value: str, expected: object) -> None:
        """PRAGMAs that do not apply are ignored without an error, so each is read back."""
        assert self._writer is not None
        await self._writer.execute_fetchall(f"PRAGMA {pragma} = {value}")
        found = await self._value(f"PRAGMA {pragma}")
        if found != expected:
            raise JournalError(f"{self._path}: PRAGMA {pragma} is {found!r}, needed {expected!r}")

    async def _value(self, query: str) -> Any:
        assert self._writer is not None
        rows = list(await self._writer.execute_fetchall(query))
        if not rows:
            raise Corrupt(f"{self._path}: nothing found by {query}")
        return rows[0][0]
