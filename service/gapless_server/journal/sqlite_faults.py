"""What a failure of SQLite says about its file, and how to be told at once that a reader has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Failures that say nothing about what the file holds. All others do.
_IN_THE_WAY: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }
)
_DAMAGES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What is left of an extended code of SQLite without its extension.
_PRIMARY_CODE: Final = 0xFF


def is_in_the_way(error: Exception) -> bool:
    """Whether it stood in the way of SQLite and may pass: a full disk, a failing one, a lock."""
    return _primary_code(error) in _IN_THE_WAY


def is_full(error: Exception) -> bool:
    """Whether the disk was full before the commit: SQLite has rolled the statement back."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def is_damaged(error: Exception) -> bool:
    """Whether SQLite found the file damaged, before the commit: it has rolled back then as well."""
    return _primary_code(error) in _DAMAGES


def _primary_code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


@contextmanager
def without_patience(connection: sqlite3.Connection) -> Iterator[None]:
    """Lets what a reader holds up fail at once, instead of waiting for seconds in this thread."""
    [[patience_ms]] = connection.execute("PRAGMA busy_timeout").fetchall()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
