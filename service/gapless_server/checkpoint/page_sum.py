"""The sum of the hashes of all pages of a checkpoint's file: what a start compares.

A row that is missing or of an older moment, a page in the place of another, a lost part of the
request index: each makes the sum another. It costs a start one pass through the file, page by page
and not row by row, and a checkpoint the hashes of the pages that it wrote: the write-ahead log has
them.

The sum lies in a file of its own, and with it how much of the write-ahead log it is of. A
checkpoint counts once its sum is written: what the write-ahead log has beyond it is cut off by the
next start. So pages may be moved from there into the database only after that.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from gapless_server.checkpoint.port import Damaged
from gapless_server.checkpoint.read_buffer import read_buffer
from gapless_server.checkpoint.write_ahead_log import (
    NO_SALTS,
    PAGE_BYTES,
    bytes_of,
    log_path,
    read_frames,
    read_salts,
)

NOT_AS_WRITTEN: Final = "a page is missing, of an older moment, or not what was written"

# How often files that may be written meanwhile are looked at before they count as damaged.
_LOOKS: Final = 3

_MODULUS: Final = 1 << 64
# Number, salts, frames, pages, total, and the CRC-32 of these.
_RECORD: Final = struct.Struct(">Q8sQQQ")
_CRC: Final = struct.Struct(">I")
# Written by turns, so that one is whole if the other was torn; each in a sector of its own.
_SLOTS: Final = 2
_SLOT_BYTES: Final = 512
_PAGES_AT_A_TIME: Final = 64
# A page that was never written, as the one that SQLite keeps free for its locks.
_EMPTY_PAGE: Final = bytes(PAGE_BYTES)


class _Noted(NamedTuple):
    """What the file of the sum says."""

    number: int
    """Of the checkpoint: each has the next one."""
    salts: bytes
    frames: int
    """How many frames of the write-ahead log count, if it has these salts; else none."""
    pages: int
    total: int


def sum_path(database: Path) -> Path:
    """Returns where the sum of a database lies."""
    return database.with_name(f"{database.name}-sum")


class PageSum:
    """The sum of one database, whose connections are somebody else's."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._noted = _Noted(0, NO_SALTS, 0, 0, 0)
        # By page number - 1. They may be ahead of what is noted, if that failed.
        self._hashes = array("Q")
        self._total = 0
        self._descriptor: int | None = None

    @property
    def number(self) -> int:
        """The number of the newest checkpoint that counts; 0 before the first."""
        return self._noted.number

    def restore(self) -> None:
        """Brings the files to the newest checkpoint that counts, and compares every page.

        No connection may be open: their locks would be gone. Raises Damaged.
        """
        noted = self._read()
        self._cut_log(noted)
        with self._database.open("rb", buffering=0) as file:
            self._load(noted, file)
        if self._total != noted.total:
            raise Damaged(NOT_AS_WRITTEN)
        self._noted = noted

    def fits(self, file: FileIO) -> bool:
        """Compares every page with the newest sum, of files that a service may be writing.

        `file` is the database. A transaction of SQLite's must be open that has read from it: then
        no page is moved into it that was written later. What was written before, and had no sum
        yet, may be; the next look sees that sum. Raises Damaged if there is no sum.
        """
        for _ in range(_LOOKS):
            noted = self._read()
            self._load(noted, file)
            if self._total == noted.total:
                return True
        return False

    def _load(self, noted: _Noted, file: FileIO) -> None:
        self._hashes = array("Q", _hashes_of(file))
        self._total = sum(self._hashes) % _MODULUS
        self._resize(noted.pages)
        for number, page in _pages_in_log(self._database, noted):
            self._put(number, page)

    def note(self, commits: int) -> None:
        """Takes in the pages of the newest commits, and makes the sum durable.

        `commits` is how many there were since the last one that was noted. Raises OSError.
        """
        number, known_salts, frames, pages, _total = self._noted
        with log_path(self._database).open("rb") as file:
            salts = read_salts(file)
            if salts != known_salts:
                frames = 0
            for page_number, pages_after, page in read_frames(file, salts, frames):
                frames += 1
                self._resize(max(page_number, len(self._hashes)))
                self._put(page_number, page)
                if pages_after:
                    pages = pages_after
                    self._resize(pages)
                    commits -= 1
                # What is behind the last commit was taken back.
                if not commits:
                    break
        if commits:
            raise OSError(f"{self._database}: its write-ahead log lacks {commits} commits")
        self._write(_Noted(number + 1, salts, frames, pages, self._total))

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _put(self, number: int, page: memoryview) -> None:
        if number > len(self._hashes):
            return
        new = 0 if page == _EMPTY_PAGE else xxh3_64_intdigest(page, number)
        self._total = (self._total + new - self._hashes[number - 1]) % _MODULUS
        self._hashes[number - 1] = new

    def _resize(self, pages: int) -> None:
        if pages < len(self._hashes):
            self._total = (self._total - sum(self._hashes[pages:])) % _MODULUS
            del self._hashes[pages:]
        else:
            self._hashes.frombytes(bytes(8 * (pages - len(self._hashes))))

    def _cut_log(self, noted: _Noted) -> None:
        """Leaves of the write-ahead log what counts."""
        path = log_path(self._database)
        if not path.exists():
            return
        with path.open("rb") as file:
            frames = noted.frames if read_salts(file) == noted.salts else 0
        if path.stat().st_size > bytes_of(frames):
            os.truncate(path, bytes_of(frames))

    def _read(self) -> _Noted:
        try:
            data = sum_path(self._database).read_bytes()
        except FileNotFoundError:
            raise Damaged("its sum is missing") from None
        slots = (data[slot * _SLOT_BYTES :] for slot in range(_SLOTS))
        found = [noted for slot in slots if (noted := _unpacked(slot)) is not None]
        if not found:
            raise Damaged("its sum cannot be read")
        return max(found)

    def _write(self, noted: _Noted) -> None:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(sum_path(self._database), flags, 0o600)
        record = _RECORD.pack(*noted)
        offset = noted.number % _SLOTS * _SLOT_BYTES
        os.pwrite(self._descriptor, record + _CRC.pack(zlib.crc32(record)), offset)
        os.fdatasync(self._descriptor)
        self._noted = noted


def _unpacked(slot: bytes) -> _Noted | None:
    record = slot[: _RECORD.size]
    if slot[_RECORD.size :][: _CRC.size] != _CRC.pack(zlib.crc32(record)):
        return None
    return _Noted(*_RECORD.unpack(record))


def _hashes_of(file: FileIO) -> Iterator[int]:
    """Yields the hashes of all pages, in order: half a million of them, of 5 million messages."""
    number = 0
    chunk = read_buffer(_PAGES_AT_A_TIME * PAGE_BYTES)
    pages = [chunk[start : start + PAGE_BYTES] for start in range(0, len(chunk), PAGE_BYTES)]
    file.seek(0)
    while size := file.readinto(chunk):
        whole, rest = divmod(size, PAGE_BYTES)
        found = pages[:whole]
        if rest:
            # SQLite writes whole pages: the file was cut short.
            found.append(chunk[size - rest : size])
        for page in found:
            number += 1
            yield 0 if page == _EMPTY_PAGE else xxh3_64_intdigest(page, number)


def _pages_in_log(database: Path, noted: _Noted) -> Iterator[tuple[int, memoryview]]:
    path = log_path(database)
    if not (noted.frames and path.exists()):
        return
    with path.open("rb") as file:
        if read_salts(file) == noted.salts:
            frames = islice(read_frames(file, noted.salts, 0), noted.frames)
            for number, _pages_after, page in frames:
                yield number, page
