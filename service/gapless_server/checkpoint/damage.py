"""Tells a file that is not what was written from one that cannot be had just now.

The one is thrown away. The other may be as good as ever once there are file handles, or memory, or
room again, and is left alone.
"""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

import msgspec

from gapless_server.checkpoint.port import Damaged

# Of SQLite, what says nothing about what the file holds. A disk error is among them, but not one
# in reading: the sector will hardly be had again, and the log has all of it.
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
_UNREADABLE: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_DATA,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)
_DAMAGES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What is left of an extended code of SQLite without its extension.
_PRIMARY_CODE: Final = 0xFF


def cannot_be_used(error: Exception) -> bool:
    """Whether what the opening of a file brought about is due to what the file holds."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code in _UNREADABLE or code is None or code & _PRIMARY_CODE not in _IN_THE_WAY
    if isinstance(error, OSError):
        return error.errno == errno.EIO
    # The others are what reading a head that is none comes to.
    return isinstance(error, (Damaged, msgspec.MsgspecError, ValueError, KeyError, TypeError))


def is_damage(error: Exception) -> bool:
    """Whether an error beside the opening says for sure that the file is not what was written.

    What else a write comes to is tried again: a disk may be full, or fail for a while.
    """
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & _PRIMARY_CODE in _DAMAGES
    return isinstance(error, (Damaged, msgspec.MsgspecError))
