"""Seals: a checksum with each row that a checkpoint stores, checked whenever the row is read.

It covers the table, the key and the bytes of the row: the system's page cache may have read it from
the disk long after the sum of the pages was compared.
"""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64_intdigest

from gapless_server.checkpoint.port import Damaged

SEAL_BYTES: Final = 8


class Sealer:
    """Seals the values of one table, or of one column of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seed = xxh3_64_intdigest(name.encode())

    def sealed(self, key: bytes, data: bytes) -> bytes:
        """Returns the data as it is to be stored."""
        return self._seal(key, data) + data

    def opened(self, key: bytes, stored: bytes) -> bytes:
        """Returns the data of what is stored. Raises Damaged."""
        # The values of a damaged row may be of any type.
        if isinstance(stored, bytes) and isinstance(key, bytes):
            data = stored[SEAL_BYTES:]
            if self._seal(key, data) == stored[:SEAL_BYTES]:
                return data
        raise Damaged(f"the row {key!r} of {self._name} is not what was written")

    def _seal(self, key: bytes, data: bytes) -> bytes:
        seal = xxh3_64_intdigest(data, xxh3_64_intdigest(key, self._seed))
        return seal.to_bytes(SEAL_BYTES, "big")


def number_key(number: int) -> bytes:
    """Returns the key of a row that has a number."""
    return number.to_bytes(8, "big", signed=True)
