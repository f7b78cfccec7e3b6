"""The witness: a small file beside a log that says how long the log was.

A flipped bit in SQLite's write-ahead log, or a lost side file, silently makes a log shorter, and
nothing inside SQLite notices. The witness is written after each commit, and not synced: after a
crash of the process it is exact, and after a loss of power it may be behind the log, never ahead
of it, because the log was synced first. So a log that is shorter than its witness has lost
entries, and is refused.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from gapless_server.journal.port import Corrupt, Head

# Incarnation, position, chain hash, and the CRC-32 of these.
_RECORD = struct.Struct(">16sQ32s")
_CRC = struct.Struct(">I")


class Witness:
    """The witness of one log."""

    def __init__(self, path: Path, incarnation: str) -> None:
        self._path = path
        self._incarnation = incarnation.encode()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def check(self, head: Head) -> None:
        """Raises Corrupt if the log was once longer, or another, than it is with this head.

        A witness that cannot be read, or is of another log, says nothing.
        """
        seen = self._read()
        if seen is None:
            return
        if seen.position > head.position:
            raise Corrupt(
                f"{self._path}: the log once reached position {seen.position} and now ends at"
                f" {head.position}: entries were lost"
            )
        if seen.position == head.position and seen.chain_hash != head.chain_hash:
            raise Corrupt(
                f"{self._path}: the log's chain hash at position {head.position} is"
                f" {head.chain_hash.hex()}, it once was {seen.chain_hash.hex()}"
            )

    def write(self, head: Head) -> None:
        """Notes the head of the log, which is durable."""
        record = _RECORD.pack(self._incarnation, head.position, head.chain_hash)
        os.pwrite(self._descriptor, record + _CRC.pack(zlib.crc32(record)), 0)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _read(self) -> Head | None:
        data = os.pread(self._descriptor, _RECORD.size + _CRC.size, 0)
        record = data[: _RECORD.size]
        if data[_RECORD.size :] != _CRC.pack(zlib.crc32(record)):
            return None
        incarnation, position, chain_hash = _RECORD.unpack(record)
        return Head(position, chain_hash) if incarnation == self._incarnation else None
