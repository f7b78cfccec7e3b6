"""Copies of a log, taken while it is written: a file of its own, complete as of one moment.

SQLite makes the copy through a connection that only reads (`VACUUM INTO`): the file of the log
is never opened by hand, and what was deleted from it does not come along. The copy lies on the
disk of the log and has no name any more once it is complete, so it is gone with its last reader,
however the process ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from gapless_server.journal.port import EMPTY_HEAD, Corrupt, Head, JournalError
from gapless_server.journal.sqlite_faults import is_damaged

# The folder in a data directory for files that are not complete; emptied at every start.
DRAFTS_DIRECTORY: Final = "drafts"

FILE_HASH_BYTES: Final = 32
_READ_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogCopy:
    """A copy of a log. Closing it removes it; use it in a `with`."""

    incarnation: str
    head: Head
    format_version: int
    size_bytes: int
    file_hash: bytes
    """BLAKE2b, 32 bytes, of the file."""
    file: BinaryIO

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()


def empty_drafts(directory: Path) -> Path:
    """Makes the folder for drafts in a data directory, empties it of files, and returns it."""
    drafts = directory / DRAFTS_DIRECTORY
    drafts.mkdir(mode=0o700, exist_ok=True)
    for leftover in drafts.iterdir():
        # Drafts are files: a folder is somebody else's, and no reason not to start.
        if leftover.is_symlink() or not leftover.is_dir():
            leftover.unlink()
    return drafts


def new_draft(drafts: Path, namespace: str) -> Path:
    """Returns a path in the folder for drafts that nothing has yet."""
    return drafts / f"{namespace}.{secrets.token_hex(8)}"


def hash_of(file: BinaryIO) -> bytes:
    """Returns the hash of what is left to read of a file: BLAKE2b, 32 bytes."""
    digest = hashlib.blake2b(digest_size=FILE_HASH_BYTES)
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
    return digest.digest()


async def copy_log(log: Path, draft: Path) -> LogCopy:
    """Copies a log as it is at a moment after the call. Raises Corrupt or JournalError.

    `draft` is a path on the same disk, where nothing is yet and nothing is left.
    """
    try:
        copying = _Copying(log, draft)
    except sqlite3.Error as error:
        raise _not_copied(log, error) from error
    work = asyncio.ensure_future(asyncio.to_thread(copying.run))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        copying.give_up()
        work.add_done_callback(_drop)
        raise


def _not_copied(log: Path, error: Exception) -> JournalError:
    fault = Corrupt if is_damaged(error) else JournalError
    return fault(f"{log} cannot be copied: {error}")


def _drop(work: asyncio.Future[LogCopy]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().file.close()


class _Copying:
    """One copy being made, in a thread."""

    def __init__(self, log: Path, draft: Path) -> None:
        self._log = log
        self._draft = draft
        self._reader = sqlite3.connect(
            f"{log.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )

    def give_up(self) -> None:
        """Ends the work in the thread early."""
        # Once the work is done, there is no connection left to interrupt.
        with suppress(sqlite3.ProgrammingError):
            self._reader.interrupt()

    def run(self) -> LogCopy:
        """Makes the copy."""
        try:
            with closing(self._reader):
                # The new file takes this over: nothing lies in it twice, so all can be erased.
                self._reader.execute("PRAGMA secure_delete = ON")
                self._reader.execute("VACUUM INTO ?", (str(self._draft),))
            return self._described()
        except (sqlite3.Error, OSError) as error:
            raise _not_copied(self._log, error) from error
        finally:
            self._draft.unlink(missing_ok=True)

    def _described(self) -> LogCopy:
        uri = f"{self._draft.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as copy:
            incarnation = copy.execute(
                "SELECT value FROM meta WHERE name = 'incarnation'"
            ).fetchone()[0]
            format_version = copy.execute("PRAGMA user_version").fetchone()[0]
            row = copy.execute(
                "SELECT last_position, chain_hash FROM rounds ORDER BY first_position DESC LIMIT 1"
            ).fetchone()
        head = EMPTY_HEAD if row is None else Head(*row)
        file = self._draft.open("rb")
        try:
            size_bytes = os.fstat(file.fileno()).st_size
            file_hash = hash_of(file)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return LogCopy(incarnation, head, format_version, size_bytes, file_hash, file)
