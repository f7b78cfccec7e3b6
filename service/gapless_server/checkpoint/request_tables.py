"""How the request index lies in a checkpoint: an image of it, and what came since, in two tables.

Everything here runs in the thread of the connection, inside the transaction of a checkpoint.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gapless_server.checkpoint.port import Damaged, RequestPairs
from gapless_server.checkpoint.seals import SEAL_BYTES, Sealer, number_key, sum_of

REQUEST_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS request_image"
    " (shard INTEGER PRIMARY KEY, hashes BLOB NOT NULL, positions BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS request_tail"
    " (number INTEGER PRIMARY KEY, pairs BLOB NOT NULL, collided BLOB NOT NULL)",
)

Image = list[tuple[bytes, bytes]]

_HASHES: Final = Sealer("request_image.hashes")
_POSITIONS: Final = Sealer("request_image.positions")
_PAIRS: Final = Sealer("request_tail.pairs")
_COLLIDED: Final = Sealer("request_tail.collided")
_IMAGE: Final = "SELECT shard, hashes, positions FROM request_image ORDER BY shard"
_TAIL: Final = "SELECT number, pairs, collided FROM request_tail ORDER BY number"


def checked_requests(connection: sqlite3.Connection) -> int:
    """Reads both tables and returns the sum of their seals. Raises Damaged."""
    return _checked(connection, _IMAGE, _HASHES, _POSITIONS) + _checked(
        connection, _TAIL, _PAIRS, _COLLIDED
    )


def _checked(connection: sqlite3.Connection, query: str, first: Sealer, second: Sealer) -> int:
    found = 0
    for number, *values in connection.execute(query):
        if not isinstance(number, int):
            raise Damaged(f"there is no row {number!r} in what is read by {query}")
        key = number_key(number)
        found += first.checked(key, values[0]) + second.checked(key, values[1])
    return found


def read_requests(connection: sqlite3.Connection) -> tuple[Image, list[RequestPairs]]:
    """Returns the image, shard by shard, and what came after it. Raises Damaged."""
    image = []
    for shard, (_number, hashes, positions) in enumerate(connection.execute(_IMAGE)):
        key = number_key(shard)
        image.append((_HASHES.opened(key, hashes), _POSITIONS.opened(key, positions)))
    return image, list(_read_tail(connection))


def _read_tail(connection: sqlite3.Connection) -> Iterator[RequestPairs]:
    for number, stored_pairs, stored_collided in connection.execute(_TAIL):
        key = number_key(number)
        pairs = array("Q")
        pairs.frombytes(_PAIRS.opened(key, stored_pairs))
        collided = _COLLIDED.opened(key, stored_collided)
        yield RequestPairs(pairs, msgspec.msgpack.decode(collided, type=dict[str, int]))


def write_requests(
    connection: sqlite3.Connection, requests: RequestPairs, image: Image | None
) -> int:
    """Writes what came since the last time, or an image in the place of all that is there.

    Returns by how much the sum of the seals changes.
    """
    changed = 0
    if image is not None:
        changed -= _delete_all(connection)
        changed += _insert(
            connection,
            "INSERT INTO request_image VALUES (?, ?, ?)",
            (_HASHES, _POSITIONS),
            list(enumerate(image)),
        )
    if requests.pairs or requests.collided:
        query = "SELECT ifnull(max(number), 0) + 1 FROM request_tail"
        [[number]] = connection.execute(query).fetchall()
        values = (requests.pairs.tobytes(), msgspec.msgpack.encode(requests.collided))
        changed += _insert(
            connection,
            "INSERT INTO request_tail VALUES (?, ?, ?)",
            (_PAIRS, _COLLIDED),
            [(number, values)],
        )
    return changed


def _delete_all(connection: sqlite3.Connection) -> int:
    """Empties both tables; returns the sum of the seals that they had."""
    found = 0
    for table, first, second in (
        ("request_image", "hashes", "positions"),
        ("request_tail", "pairs", "collided"),
    ):
        query = (
            f"SELECT substr({first}, 1, {SEAL_BYTES}), substr({second}, 1, {SEAL_BYTES})"  # noqa: S608 - our names
            f" FROM {table}"
        )
        found += sum(sum_of(seals) for seals in connection.execute(query))
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our names
    return found


def _insert(
    connection: sqlite3.Connection,
    statement: str,
    sealers: tuple[Sealer, Sealer],
    rows: Sequence[tuple[int, tuple[bytes, bytes]]],
) -> int:
    found = 0
    for number, values in rows:
        key = number_key(number)
        stored = [sealer.sealed(key, data) for sealer, data in zip(sealers, values, strict=True)]
        connection.execute(statement, (number, *stored))
        found += sum_of(value[:SEAL_BYTES] for value in stored)
    return found
