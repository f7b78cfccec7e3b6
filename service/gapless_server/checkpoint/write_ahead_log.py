"""Reads the write-ahead log of SQLite: which pages were written, by which commit.

The format is SQLite's published one. Its file may be opened by hand: unlike the database file, no
lock of the process depends on it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from gapless_server.checkpoint.read_buffer import read_buffer

# Of a checkpoint: with SQLite's 4 KiB, every row of the log is written with four times the calls.
PAGE_BYTES: Final = 16384
NO_SALTS: Final = bytes(8)

_HEADER_BYTES: Final = 32
_SALTS: Final = slice(16, 24)
# The page, how many pages the database has after the commit that this ends (0: ends none), salts.
_FRAME: Final = struct.Struct(">II8s8x")
_FRAME_BYTES: Final = _FRAME.size + PAGE_BYTES
_FRAMES_AT_A_TIME: Final = 64


def log_path(database: Path) -> Path:
    """Returns where the write-ahead log of a database lies."""
    return database.with_name(f"{database.name}-wal")


def read_salts(file: BufferedReader) -> bytes:
    """Returns what all frames that count have in common; NO_SALTS if there are none."""
    header = file.read(_HEADER_BYTES)
    return header[_SALTS] if len(header) == _HEADER_BYTES else NO_SALTS


def read_frames(
    file: BufferedReader, salts: bytes, first: int
) -> Iterator[tuple[int, int, memoryview]]:
    """Yields the frames from an index on, up to one of another time.

    Each is a page's number from 1, the pages of the database after the commit that it ends, or 0 if
    it ends none, and the page, which stays what it is until the next is asked for.
    """
    chunk = read_buffer(_FRAMES_AT_A_TIME * _FRAME_BYTES)
    file.seek(_HEADER_BYTES + first * _FRAME_BYTES)
    while size := file.readinto(chunk):
        for start in range(0, size - _FRAME_BYTES + 1, _FRAME_BYTES):
            number, pages_after, found = _FRAME.unpack_from(chunk, start)
            if found != salts:
                return
            yield number, pages_after, chunk[start + _FRAME.size : start + _FRAME_BYTES]


def bytes_of(frames: int) -> int:
    """Returns the size of a write-ahead log with so many frames; 0 for none."""
    return _HEADER_BYTES + frames * _FRAME_BYTES if frames else 0
