"""Seals: checksums of what a checkpoint stores, of each row and of all rows together.

The seal of a row covers its table, its key and its bytes, so that a row that changed, or that came
to lie under another key, is found when it is read. A row that is missing, or of an older moment,
cannot be found like that: so the sum of all seals is kept as well, and compared when a checkpoint
is opened. It is kept up with each change alone, whatever the size of the state.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from xxhash import xxh3_64_intdigest

from gapless_server.checkpoint.port import Damaged

SEAL_BYTES: Final = 8
_MODULUS: Final = 1 << (8 * SEAL_BYTES)
# So many seals are looked up with one query.
_LOOKUP_KEYS: Final = 256


class Sealer:
    """Seals the values of one table, or of one column of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seed = xxh3_64_intdigest(name.encode())

    def seal(self, key: bytes, data: bytes) -> int:
        """Returns the seal of what lies under a key."""
        return xxh3_64_intdigest(data, xxh3_64_intdigest(key, self._seed))

    def sealed(self, key: bytes, data: bytes) -> bytes:
        """Returns the data as it is to be stored."""
        return self.seal(key, data).to_bytes(SEAL_BYTES, "big") + data

    def opened(self, key: bytes, stored: bytes) -> bytes:
        """Returns the data of what is stored. Raises Damaged."""
        self.checked(key, stored)
        return stored[SEAL_BYTES:]

    def checked(self, key: bytes, stored: bytes) -> int:
        """Returns the seal of what is stored, once it is known to be right. Raises Damaged."""
        # The values of a damaged row may be of any type.
        if isinstance(stored, bytes) and isinstance(key, bytes):
            found = self.seal(key, stored[SEAL_BYTES:])
            if found.to_bytes(SEAL_BYTES, "big") == stored[:SEAL_BYTES]:
                return found
        raise Damaged(f"the row {key!r} of {self._name} is not what was written")


def number_key(number: int) -> bytes:
    """Returns the key of a row that has a number."""
    return number.to_bytes(8, "big", signed=True)


def sum_of(seals: Iterable[bytes]) -> int:
    """Returns the sum of stored seals."""
    return sum(int.from_bytes(seal, "big") for seal in seals)


def total(seals: int) -> int:
    """Returns a sum of seals as it is stored."""
    return seals % _MODULUS


def stored_seals(connection: sqlite3.Connection, table: str, keys: Sequence[bytes]) -> int:
    """Returns the sum of the seals of those keys that a table has."""
    found = 0
    remaining = iter(keys)
    while some := tuple(islice(remaining, _LOOKUP_KEYS)):
        marks = ",".join("?" * len(some))
        query = f'SELECT substr(row, 1, {SEAL_BYTES}) FROM "{table}" WHERE key IN ({marks})'  # noqa: S608 - our names
        found += sum_of(seal for (seal,) in connection.execute(query, some))
    return found
