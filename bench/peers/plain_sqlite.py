"""Plain SQLite: a transaction a post, from as many processes as the load has.

BEGIN IMMEDIATE takes the one write lock at once; WAL with synchronous=FULL syncs at every commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from gapless_server.load.driver import Post

BUSY_SECONDS = 60.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (channel_id TEXT PRIMARY KEY, head INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS messages (
    channel_id TEXT NOT NULL, sequence INTEGER NOT NULL, request_id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL, PRIMARY KEY (channel_id, sequence)
) STRICT, WITHOUT ROWID;
"""


@contextmanager
def server(directory: Path, _environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """There is no server, only a file."""
    yield {"path": str(directory / "messages.db")}


def server_version() -> str:
    """The version of the library."""
    return f"SQLite {sqlite3.sqlite_version}"


class SqliteDriver:
    """The module of the standard library, a connection a process."""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> None:
        self._connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

    def prepare(self, channel_ids: Sequence[str]) -> None:
        self.open()
        self._connection.executescript(SCHEMA)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT INTO channels VALUES (?, 0)", [(one,) for one in channel_ids]
        )
        self._connection.execute("COMMIT")
        self.close()

    def post(self, post: Post) -> int:
        return self.post_frame([post])[0]

    def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            sequences = [self._number(post) for post in posts]
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return sequences

    def _number(self, post: Post) -> int:
        execute = self._connection.execute
        channel_id, request_id, body = post
        known = execute("SELECT sequence FROM messages WHERE request_id = ?", (request_id,))
        if (row := known.fetchone()) is not None:
            return int(row[0])
        raised = execute(
            "UPDATE channels SET head = head + 1 WHERE channel_id = ? RETURNING head", (channel_id,)
        )
        sequence = int(raised.fetchone()[0])
        execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?)", (channel_id, sequence, request_id, body)
        )
        return sequence

    def close(self) -> None:
        self._connection.close()
