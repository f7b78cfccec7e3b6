"""Ownership: at most one process has a file open as its owner (G9).

The lock is `flock` on a descriptor of the file itself, so it holds through another path, a
symlink or a hard link, and ends with the process however it ends. A descriptor of a SQLite
database is taken before SQLite opens the file and closed after it: closing any descriptor of a
file drops the POSIX locks that SQLite holds on it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Final

from gapless_server.journal.port import OwnedElsewhere

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileLock:
    """Holds a file as its owner until `release`."""

    def __init__(self, path: Path, described_in: Path) -> None:
        """Takes the lock. Raises OwnedElsewhere, naming the owner told in `described_in`."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise OwnedElsewhere(
                f"{path} is in use by {read_owner(described_in)};"
                " stop that process or use another data directory"
            ) from error

    def release(self) -> None:
        """Gives the file free."""
        os.close(self._descriptor)


def write_owner(path: Path, address: str) -> None:
    """Describes this process as the owner, for the error that a second one gets.

    On a full disk nothing is described: the owner serves reads all the same.
    """
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "address": address}
    try:
        path.touch(mode=0o600)
        path.write_text(json.dumps(owner) + "\n", encoding="utf-8")
    except OSError as error:
        if error.errno not in _FULL:
            raise


def read_owner(path: Path) -> str:
    """Returns the description of the owner as a phrase."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}, serving {owner['address']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no description"
