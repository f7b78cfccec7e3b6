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


def witness_path(log: Path) -> Path:
    """Returns where the witness of a log lies."""
    return log.with_suffix(".head")


def read_witness(log: Path) -> tuple[str, Head] | None:
    """Returns the incarnation and the head that the witness of a log saw; None if it says nothing.

    A witness that cannot be read says nothing.
    """
    try:
        data = witness_path(log).read_bytes()
    except FileNotFoundError:
        return None
    return _unpacked(data)


def require_never_written(log: Path) -> None:
    """Raises Corrupt if a log without a schema once had one."""
    seen = read_witness(log)
    if seen is not None:
        raise _lost(log, f"{witness_path(log)} says that it reached position {seen[1].position}")


def require_nothing_left_of(log: Path) -> None:
    """Raises Corrupt if a log whose file is missing, or has no byte, left other files."""
    require_never_written(log)
    tail = log.with_name(f"{log.name}-wal")
    if tail.exists() and tail.stat().st_size:
        raise _lost(log, f"entries of it are in {tail}")


def _lost(log: Path, trace: str) -> Corrupt:
    return Corrupt(
        f"{log} is missing or empty, but {trace}: put the file back; if it was removed on purpose,"
        " remove the other files of its name too"
    )


def _unpacked(data: bytes) -> tuple[str, Head] | None:
    record = data[: _RECORD.size]
    if data[_RECORD.size :] != _CRC.pack(zlib.crc32(record)):
        return None
    incarnation, position, chain_hash = _RECORD.unpack(record)
    return incarnation.decode("ascii", "replace"), Head(position, chain_hash)


class Witness:
    """The witness of one log."""

    def __init__(self, log: Path, incarnation: str) -> None:
        self._path = witness_path(log)
        self._incarnation = incarnation
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def check(self, head: Head) -> None:
        """Raises Corrupt if the log was once longer, or another, than it is with this head.

        A witness that cannot be read says nothing.
        """
        found = _unpacked(os.pread(self._descriptor, _RECORD.size + _CRC.size, 0))
        if found is None:
            return
        incarnation, seen = found
        if incarnation != self._incarnation:
            raise Corrupt(
                f"{self._path}: it saw incarnation {incarnation} at position {seen.position}, and"
                f" the log beside it is incarnation {self._incarnation}, so another log lies in its"
                " place: put the right one back; if it was replaced on purpose, remove"
                f" {self._path.name}"
            )
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
        record = _RECORD.pack(self._incarnation.encode(), head.position, head.chain_hash)
        os.pwrite(self._descriptor, record + _CRC.pack(zlib.crc32(record)), 0)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)
