"""The logs of a data directory: which there are, where each lies, and that nobody else has them."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from gapless_server.journal.copies import LogCopy, copy_log, empty_drafts, new_draft
from gapless_server.journal.ownership import FileLock, write_owner
from gapless_server.journal.sqlite import SqliteJournal, sync_directory
from gapless_server.journal.witness import witness_path

# The folder of the logs in a data directory.
LOGS_DIRECTORY = "namespaces"
# Whoever has it locked owns the data directory, which is known by it.
OWNER_LOCK = "owner.lock"

# Namespaces are file names, so they are kept to what is one on every file system.
NAMESPACE_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

_LOG_SUFFIX = ".db"
_WITNESS_SUFFIX = witness_path(Path(f"log{_LOG_SUFFIX}")).suffix


class SqliteJournalStore:
    """The logs below one data directory, which it owns (G9)."""

    name = "sqlite"
    version = sqlite3.sqlite_version

    def __init__(self, directory: Path, address: str) -> None:
        """Takes the directory, making it with mode 0700 if it is not there.

        `address` is where the service will listen: a second one is told it. Raises OwnedElsewhere.
        """
        self._logs = directory / LOGS_DIRECTORY
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
        sync_directory(directory)
        self._owner_path = directory / "owner.json"
        self._lock = FileLock(directory / OWNER_LOCK, self._owner_path)
        write_owner(self._owner_path, address)
        # What a process that was killed left there is nothing to anybody.
        self.drafts = empty_drafts(directory)

    def announce(self, address: str) -> None:
        """Tells a second process, which is refused, where this one serves."""
        write_owner(self._owner_path, address)

    def path(self, namespace: str) -> Path:
        """Returns the file of a namespace."""
        if not NAMESPACE_PATTERN.fullmatch(namespace):
            raise ValueError(f"namespace {namespace!r} does not match {NAMESPACE_PATTERN.pattern}")
        return self._logs / f"{namespace}{_LOG_SUFFIX}"

    async def open(self, namespace: str) -> SqliteJournal:
        """Opens a log, there or not."""
        return await SqliteJournal.open(self.path(namespace), self._owner_path, self.drafts)

    def exists(self, namespace: str) -> bool:
        """Says whether the log has ever had a round, be it gone by now."""
        path = self.path(namespace)
        return path.exists() or witness_path(path).exists()

    def namespaces(self) -> list[str]:
        """Returns the names of the logs that exist, sorted; a file of no valid name is none.

        Those of which only the witness is left are among them: they are gone, and should not be.
        """
        suffixes = (_LOG_SUFFIX, _WITNESS_SUFFIX)
        names = {path.stem for path in self._logs.iterdir() if path.suffix in suffixes}
        return sorted(name for name in names if NAMESPACE_PATTERN.fullmatch(name))

    async def copy(self, namespace: str) -> LogCopy:
        """Returns a copy of a log that is open here. It needs as much room as the log."""
        return await copy_log(self.path(namespace), new_draft(self.drafts, namespace))

    async def close(self) -> None:
        """Gives the data directory free."""
        self._owner_path.unlink(missing_ok=True)
        self._lock.release()
