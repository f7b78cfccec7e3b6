"""Writes a whole database anew, with no more memory than a connection's caches take.

SQLite builds the copy in a temporary database. In memory it would be as large as the file; so it
goes to the disk that has the file, and not to /tmp, which may be small, or memory again.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

_choosing = threading.Lock()


def write_anew(connection: sqlite3.Connection, directory: Path) -> None:
    """Leaves nothing but the rows; what is temporary lies in `directory`.

    SQLite deletes the name of a temporary file as soon as it is open, so that no crash leaves it.
    """
    _keep_temporary_files_in(directory, connection)
    [[before]] = connection.execute("PRAGMA temp_store").fetchall()
    connection.execute("PRAGMA temp_store = FILE")
    try:
        connection.execute("VACUUM")
    finally:
        connection.execute(f"PRAGMA temp_store = {before}")


def _keep_temporary_files_in(directory: Path, connection: sqlite3.Connection) -> None:
    """Tells SQLite, of which one setting is all that there is in a process.

    It is not set again to what it is: another thread may be reading it. A directory that is gone
    is passed over by SQLite.
    """
    wanted = str(directory.absolute())
    with _choosing:
        found = connection.execute("PRAGMA temp_store_directory").fetchall()
        if found != [(wanted,)]:
            quoted = wanted.replace("'", "''")
            connection.execute(f"PRAGMA temp_store_directory = '{quoted}'")
