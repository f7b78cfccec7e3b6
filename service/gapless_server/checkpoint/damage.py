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
from gapless_server.journal.sqlite_faults import is_damaged, is_in_the_way

# Of what may pass with SQLite, a disk error in reading: the sector will hardly be had again, and
# the log has all of it.
_UNREADABLE: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_DATA,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)


def cannot_be_used(error: Exception) -> bool:
    """Whether what the opening of a file brought about is due to what the file holds."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code in _UNREADABLE or not is_in_the_way(error)
    if isinstance(error, OSError):
        return error.errno == errno.EIO
    # The others are what reading a head that is none comes to.
    return isinstance(error, (Damaged, msgspec.MsgspecError, ValueError, KeyError, TypeError))


def is_damage(error: Exception) -> bool:
    """Whether an error beside the opening says for sure that the file is not what was written.

    What else a write comes to is tried again: a disk may be full, or fail for a while.
    """
    return is_damaged(error) or isinstance(error, (Damaged, msgspec.MsgspecError))
