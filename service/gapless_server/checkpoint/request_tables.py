"""How the request index lies in a checkpoint: an image of it, shard by shard, and what came since.

Each checkpoint adds what is new as one row of the tail, and writes some shards anew. A row of the
tail goes once every shard was written after it. Everything here runs in the thread of the
connection, inside the transaction of a checkpoint.
"""

from __future__ import annotations

import sqlite3
import struct
from array import array
from collections.abc import Iterable
from typing import Final

import msgspec

from gapless_server.checkpoint.port import (
    REQUEST_SHARDS,
    RequestLoader,
    RequestPairs,
    RequestShard,
)
from gapless_server.checkpoint.seals import Sealer, number_key

REQUEST_TABLES: Final = (
    # `tail_number`: the newest row of the tail that the shard has. The positions have it as well,
    # sealed.
    "CREATE TABLE IF NOT EXISTS request_image (shard INTEGER PRIMARY KEY,"
    " tail_number INTEGER NOT NULL, hashes BLOB NOT NULL, positions BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS request_tail"
    " (number INTEGER PRIMARY KEY, pairs BLOB NOT NULL, collided BLOB NOT NULL)",
)

_HASHES: Final = Sealer("request_image.hashes")
_POSITIONS: Final = Sealer("request_image.positions")
# Before the positions: how many slots are filled, and the tail number.
_HEADER: Final = struct.Struct(">QQ")
_PAIRS: Final = Sealer("request_tail.pairs")
_COLLIDED: Final = Sealer("request_tail.collided")


def read_requests(connection: sqlite3.Connection, loader: RequestLoader) -> None:
    """Hands over the image, shard by shard, and what came after it. Raises Damaged."""
    # Of shards that are not there, none of the tail is.
    tail_numbers = [0] * REQUEST_SHARDS
    query = "SELECT shard, hashes, positions FROM request_image ORDER BY shard"
    for number, hashes, stored_positions in connection.execute(query):
        key = number_key(number)
        positions = _POSITIONS.opened(key, stored_positions)
        filled, tail_numbers[number] = _HEADER.unpack_from(positions)
        loader.load_shard(
            RequestShard(number, _HASHES.opened(key, hashes), positions[_HEADER.size :], filled)
        )
    query = "SELECT number, pairs, collided FROM request_tail ORDER BY number"
    for number, stored_pairs, stored_collided in connection.execute(query):
        key = number_key(number)
        pairs = array("Q")
        pairs.frombytes(_PAIRS.opened(key, stored_pairs))
        collided = _COLLIDED.opened(key, stored_collided)
        loader.load_pairs(
            RequestPairs(pairs, msgspec.msgpack.decode(collided, type=dict[str, int])),
            bytes(tail_number < number for tail_number in tail_numbers),
        )


def write_requests(
    connection: sqlite3.Connection, requests: RequestPairs, shards: Iterable[RequestShard]
) -> None:
    """Writes what came since the last time, and shards as they are with it."""
    query = "SELECT ifnull(max(number), 0) FROM request_tail"
    [[tail_number]] = connection.execute(query).fetchall()
    if requests.pairs or requests.collided:
        tail_number += 1
        key = number_key(tail_number)
        pairs = _PAIRS.sealed(key, requests.pairs.tobytes())
        collided = _COLLIDED.sealed(key, msgspec.msgpack.encode(requests.collided))
        connection.execute(
            "INSERT INTO request_tail VALUES (?, ?, ?)", (tail_number, pairs, collided)
        )
    for number, hashes, positions, filled in shards:
        key = number_key(number)
        headed = _HEADER.pack(filled, tail_number) + positions
        values = (_HASHES.sealed(key, hashes), _POSITIONS.sealed(key, headed))
        connection.execute(
            "INSERT OR REPLACE INTO request_image VALUES (?, ?, ?, ?)",
            (number, tail_number, *values),
        )
    # The newest row stays: it has all keys that collided, and no number is used twice.
    connection.execute(
        "DELETE FROM request_tail WHERE number < ? AND number <= (SELECT min(tail_number)"
        " FROM request_image HAVING count(*) = ?)",
        (tail_number, REQUEST_SHARDS),
    )
