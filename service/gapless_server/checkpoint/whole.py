"""Checks a checkpoint as a whole: nothing of it is missing, nothing is of an older moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from gapless_server.checkpoint.port import Damaged
from gapless_server.checkpoint.request_tables import checked_requests
from gapless_server.checkpoint.seals import Sealer, total


def require_intact(connection: sqlite3.Connection, tables: Iterable[str], seals: int) -> None:
    """Reads every row once. Raises Damaged if they are not those that were written."""
    found = checked_requests(connection)
    found += sum(_checked_rows(connection, table) for table in tables)
    if total(found) != seals:
        raise Damaged("a row is missing, or of an older moment")


def _checked_rows(connection: sqlite3.Connection, table: str) -> int:
    """Reads a whole table and returns the sum of its seals. Raises Damaged."""
    sealer = Sealer(table)
    found = 0
    before = b""
    # Not sorted: what lies in another order than that of its keys is not found by them.
    for key, row in connection.execute(f'SELECT key, row FROM "{table}"'):  # noqa: S608 - our names
        found += sealer.checked(key, row)
        if key <= before:
            raise Damaged(f"the row {key.hex()} of {table} is not in its place")
        before = key
    return found
