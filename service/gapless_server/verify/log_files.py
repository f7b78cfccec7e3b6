"""Log files, read without owning them: those of a running service, of a stopped one, or copies.

Never used in the process that owns the file: opening and closing it there would drop the locks
that SQLite holds on it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from gapless_server.journal.port import Corrupt, Head, JournalError, Round, digest_of
from gapless_server.journal.reading import is_round
from gapless_server.journal.schema import (
    APPLICATION_ID,
    FORMAT_VERSION,
    ROUND_COLUMNS,
    SINCE_DIGEST_COLUMN,
)
from gapless_server.journal.witness import read_witness, require_nothing_left_of, witness_path

# One query reads so many rounds: it holds a snapshot no longer, so that a running service can
# go on checkpointing.
_READ_ROUNDS: Final = 64

_SUFFIX: Final = ".db"

# What SQLite says when it may not read a file or cannot at the moment: nothing about the file.
_KEPT_OUT: Final = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
)

_SELECT: Final = f"""
SELECT {ROUND_COLUMNS}, {SINCE_DIGEST_COLUMN} FROM rounds AS r
WHERE first_position > ? ORDER BY first_position LIMIT ?
"""  # noqa: S608 - our names


def find_logs(path: Path) -> list[Path]:
    """Returns the logs at a path: the file itself, or those of a data directory, sorted.

    A log that is gone is among them if its witness is still there. Raises JournalError if there
    are none, or it may not look.
    """
    try:
        if path.suffix == _SUFFIX and not path.is_dir():
            return [path]
        logs = _logs_in(path / "namespaces")
    except OSError as error:
        raise _unreadable(path, error) from error
    if not logs:
        raise JournalError(
            f"{path} holds no log; expected a data directory of the service, or a file of one"
            " namespace, which ends in .db"
        )
    return logs


def _logs_in(directory: Path) -> list[Path]:
    # A glob finds nothing where it may not look.
    files = list(directory.iterdir()) if directory.is_dir() else []
    gone = (file.with_suffix(_SUFFIX) for file in files if file.suffix == ".head")
    return sorted({*(file for file in files if file.suffix == _SUFFIX), *gone})


def _unreadable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"{path} cannot be read: {error.strerror or error}; give a path that is there, and run this"
        " as the user of the service"
    )


def _kept_out(error: sqlite3.Error) -> bool:
    # The lowest byte of the code; the others say where it happened.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _KEPT_OUT


class LogFile:
    """One log in one SQLite file, open for reading; use it in a `with`."""

    def __init__(self, path: Path) -> None:
        """Opens the file. Raises JournalError or Corrupt."""
        self.path = path
        self.name = path.stem
        self._close = ExitStack()
        # What was found beside the rounds themselves, while they were read.
        self.faults: list[str] = []
        try:
            # Before the log: it goes on meanwhile, and its witness follows it.
            seen = read_witness(path)
            self._require_file()
            self._connection = self._open()
            self._check_format()
            self.incarnation: str = self._value(
                "SELECT value FROM meta WHERE name = 'incarnation'", ""
            )
            # What is committed later is another recount's.
            self._newest_round: int = self._value(
                "SELECT ifnull(max(first_position), 0) FROM rounds", 0
            )
            self.last_position: int = self._value(
                "SELECT last_position FROM rounds ORDER BY first_position DESC LIMIT 1", 0
            )
            if not isinstance(self.last_position, int):
                raise Corrupt(f"{path}: the row of its last round is damaged")
            self.witnessed = self._witnessed(seen)
        except sqlite3.DatabaseError as error:
            self._close.close()
            if _kept_out(error):
                raise JournalError(
                    f"{path} cannot be read: {error}; run this as the user of the service"
                ) from error
            raise Corrupt(f"{path} cannot be read: {error}") from error
        except OSError as error:
            self._close.close()
            raise _unreadable(path, error) from error
        except JournalError:
            self._close.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def rounds(self) -> Iterator[Round]:
        """Yields the rounds that were there at the opening, in the order of their positions.

        Raises Corrupt.
        """
        return self._rounds_between(-(2**63), self._newest_round)

    def later_rounds(self) -> Iterator[Round]:
        """Yields the rounds that have been committed since. Raises Corrupt."""
        newest = self._value("SELECT ifnull(max(first_position), 0) FROM rounds", 0)
        return self._rounds_between(self._newest_round, newest)

    def _rounds_between(self, after: int, newest: int) -> Iterator[Round]:
        """Yields the rounds that begin after a position, up to the one that begins at `newest`."""
        while True:
            try:
                rows = self._connection.execute(_SELECT, (after, _READ_ROUNDS)).fetchall()
            except sqlite3.DatabaseError as error:
                raise Corrupt(
                    f"{self.path} cannot be read after position {after}: {error}"
                ) from error
            for *fields, since_digest in rows:
                record = Round._make(fields)
                if record.first_position > newest:
                    return
                # SQLite goes by its pages: in a damaged file they may lead it round for ever.
                if record.first_position <= after:
                    raise Corrupt(
                        f"{self.path}: after the round of position {after} comes the one of"
                        f" {record.first_position}: its pages are out of order"
                    )
                if since_digest and is_round(record) and digest_of(record.data) != since_digest:
                    self.faults.append(
                        f"position {record.first_position}: the round is not what the file notes"
                        " that an erasure has left of it"
                    )
                yield record
                after = record.first_position
            if not rows:
                return

    def _require_file(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            require_nothing_left_of(self.path)
            raise JournalError(f"{self.path} is not there, or is empty")
        if not self.path.is_file():
            raise JournalError(f"{self.path} is no file; expected the log of one namespace")

    def _witnessed(self, seen: tuple[str, Head] | None) -> Head | None:
        """Returns a head that the log must still have, if there is a witness of one."""
        if seen is None or seen[1].position == 0:
            return None
        incarnation, head = seen
        if incarnation != self.incarnation:
            raise Corrupt(
                f"{witness_path(self.path)} saw incarnation {incarnation} at position"
                f" {head.position}, and the log beside it is incarnation {self.incarnation!r}:"
                " another log lies in its place, or this one's name is damaged"
            )
        return head

    def _open(self) -> sqlite3.Connection:
        connection = self._connect("mode=ro")
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            # A log in a place where nothing can be written, not even SQLite's side files.
            return self._open_immutable()
        return connection

    def _open_immutable(self) -> sqlite3.Connection:
        """Opens a file that nobody writes, and sees to it that nobody will meanwhile."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._close.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalError(
                f"{self.path} belongs to a running service and its directory cannot be written;"
                " run this as the user of the service"
            ) from error
        tail = self.path.with_name(f"{self.path.name}-wal")
        if tail.exists() and tail.stat().st_size:
            raise JournalError(
                f"{self.path} has its newest entries in {tail.name}, and its directory cannot be"
                " written; copy both files to a place that can be, and verify the copy"
            )
        return self._connect("immutable=1")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        self._close.callback(connection.close)
        return connection

    def _check_format(self) -> None:
        if self._value("PRAGMA application_id", 0) != APPLICATION_ID:
            raise JournalError(f"{self.path} is not a log of gapless")
        version = self._value("PRAGMA user_version", 0)
        if version != FORMAT_VERSION:
            raise JournalError(
                f"{self.path} has format {version}, this version reads format {FORMAT_VERSION};"
                " use the version of gapless that wrote it, or a newer one"
            )

    def _value(self, query: str, default: Any) -> Any:
        row = self._connection.execute(query).fetchone()
        return default if row is None else row[0]
