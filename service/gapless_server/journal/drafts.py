"""Logs that are being made: files that no service has open, written in one go.

A draft is a log only once `finish` has returned and it has got its name; until then nothing needs
it, and nothing is synced.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from gapless_server.journal.port import EMPTY_HEAD, Head, Round
from gapless_server.journal.schema import (
    INSERT_REWRITTEN,
    INSERT_ROUND,
    PAGE_BYTES,
    SCHEMA,
    rewritten_values,
)


class DraftLog:
    """A SQLite log under construction; use it in a `with`. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        """Opens a draft that is there, or makes one."""
        self._path = path
        is_new = not path.exists()
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            self.head = self._begin(is_new=is_new)
        except BaseException:
            self._connection.close()
            raise

    def _begin(self, *, is_new: bool) -> Head:
        # Of a file that is there already, it stays as it is.
        self._connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._connection.execute("BEGIN")
        if is_new:
            for statement in SCHEMA:
                self._connection.execute(statement)
        row = self._connection.execute(
            "SELECT last_position, chain_hash FROM rounds ORDER BY first_position DESC LIMIT 1"
        ).fetchone()
        return EMPTY_HEAD if row is None else Head(*row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def append(self, record: Round) -> None:
        """Adds a round, which must follow the head."""
        if record.first_position != self.head.position + 1:
            raise ValueError(
                f"round begins at {record.first_position}, the head is {self.head.position}"
            )
        self._connection.execute(INSERT_ROUND, record[:4])
        if record.data_digest is not None:
            self._connection.execute(INSERT_REWRITTEN, rewritten_values(record))
        self.head = Head(record.last_position, record.chain_hash)

    def name(self, incarnation: str) -> None:
        """Gives the log its incarnation; what was pending where it comes from is not here."""
        self._connection.execute("DELETE FROM meta")
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('incarnation', ?)", (incarnation,)
        )

    def finish(self) -> None:
        """Makes all of it durable, and closes the file."""
        self._connection.execute("COMMIT")
        self._connection.close()
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
