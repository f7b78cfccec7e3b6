"""Damage to the files of a namespace: what disks, copies and operators do to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from tests.reliability.log_of_all_kinds import NAMESPACE, OTHER_NAMESPACE

WAL_HEADER_BYTES: Final = 32
WAL_FRAME_HEADER_BYTES: Final = 24
# Where SQLite notes the size of a page: in a write-ahead log, which begins so, and in a database.
WAL_MAGIC: Final = b"\x37\x7f\x06"
WAL_PAGE_SIZE: Final = slice(8, 12)
DATABASE_PAGE_SIZE: Final = slice(16, 18)
# What disks write at once: a page of a file that does not say its size any more.
BLOCK_BYTES: Final = 4096
LOG_FILES: Final = (".db", ".db-wal")
STATE_FILES: Final = (".state", ".state-wal")
ALL_FILES: Final = (*LOG_FILES, ".db-shm", ".head", *STATE_FILES, ".state-shm", ".state-sum")


class Files(NamedTuple):
    """The files of one namespace, and those of the same one at an older moment."""

    folder: Path
    older: Path

    def existing(self, *suffixes: str) -> list[Path]:
        """Returns those of the files that are there and have a byte."""
        paths = [self.folder / f"{NAMESPACE}{suffix}" for suffix in suffixes]
        return [path for path in paths if path.exists() and path.stat().st_size]


# Does the damage, and says what it did; None if there was nothing to do it to.
Damage = Callable[[Files, Random], str | None]


def _change(path: Path, change: Callable[[bytearray], str]) -> str:
    content = bytearray(path.read_bytes())
    said = change(content)
    path.write_bytes(content)
    return f"{path.name}: {said}"


def _one_of(files: Files, chance: Random, *suffixes: str) -> Path | None:
    found = files.existing(*suffixes)
    # The larger a file is, the more often it is hit; the small ones are hit as well.
    weights = [max(path.stat().st_size, 64 * 1024) for path in found]
    return chance.choices(found, weights)[0] if found else None


def flipped_bit(files: Files, chance: Random) -> str | None:
    """One bit is another."""
    path = _one_of(files, chance, *ALL_FILES)

    def flip(content: bytearray) -> str:
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        return f"bit {bit % 8} of byte {bit // 8} flipped"

    return path and _change(path, flip)


def truncated(files: Files, chance: Random) -> str | None:
    """The end of a file is missing."""
    path = _one_of(files, chance, *ALL_FILES)

    def cut(content: bytearray) -> str:
        size, kept = len(content), chance.randrange(len(content))
        del content[kept:]
        return f"cut from {size} to {kept} bytes"

    return path and _change(path, cut)


def _page_bytes(content: bytearray) -> int:
    noted = WAL_PAGE_SIZE if content.startswith(WAL_MAGIC) else DATABASE_PAGE_SIZE
    size = int.from_bytes(content[noted], "big")
    return size if 512 <= size <= 32768 else BLOCK_BYTES


def _page(content: bytearray, chance: Random) -> slice:
    page_bytes = _page_bytes(content)
    first = chance.randrange(max(len(content) // page_bytes, 1)) * page_bytes
    return slice(first, min(first + page_bytes, len(content)))


def zeroed_page(files: Files, chance: Random) -> str | None:
    """A page has only zeros."""
    path = _one_of(files, chance, *LOG_FILES, *STATE_FILES)

    def zero(content: bytearray) -> str:
        page = _page(content, chance)
        content[page] = bytes(page.stop - page.start)
        return f"bytes {page.start} to {page.stop} zeroed"

    return path and _change(path, zero)


def rubbish_page(files: Files, chance: Random) -> str | None:
    """A page has something else."""
    path = _one_of(files, chance, *LOG_FILES, *STATE_FILES)

    def overwrite(content: bytearray) -> str:
        page = _page(content, chance)
        content[page] = chance.randbytes(page.stop - page.start)
        return f"bytes {page.start} to {page.stop} overwritten"

    return path and _change(path, overwrite)


def swapped_pages(files: Files, chance: Random) -> str | None:
    """Two pages lie in each other's place."""
    path = _one_of(files, chance, *LOG_FILES, *STATE_FILES)

    def swap(content: bytearray) -> str:
        one, other = _page(content, chance), _page(content, chance)
        content[one], content[other] = content[other], content[one]
        return f"pages at {one.start} and {other.start} swapped"

    return path and _change(path, swap)


def stale_page(files: Files, chance: Random) -> str | None:
    """A page is that of an older moment: a write to it was lost."""
    path = _one_of(files, chance, ".db", ".state")
    if path is None or not (files.older / path.name).exists():
        return None
    older = (files.older / path.name).read_bytes()

    def restore(content: bytearray) -> str:
        size = _page_bytes(content)
        changed = [
            first
            for first in range(0, min(len(older), len(content)), size)
            if older[first : first + size] != content[first : first + size]
        ]
        first = chance.choice(changed)
        content[first : first + size] = older[first : first + size]
        return f"page at {first} is that of an older moment"

    return _change(path, restore)


def torn_frame(files: Files, chance: Random) -> str | None:
    """The write-ahead log ends within a frame, or a frame was written in part."""
    path = _one_of(files, chance, ".db-wal", ".state-wal")
    if path is None:
        return None

    def tear(content: bytearray) -> str:
        frame_bytes = WAL_FRAME_HEADER_BYTES + _page_bytes(content)
        frames = (len(content) - WAL_HEADER_BYTES) // frame_bytes
        first = WAL_HEADER_BYTES + chance.randrange(max(frames, 1)) * frame_bytes
        torn = first + chance.randrange(frame_bytes)
        if chance.random() < 0.5:
            del content[torn:]
            return f"ends at {torn}, within a frame"
        content[torn : first + frame_bytes] = bytes(first + frame_bytes - torn)
        return f"the frame at {first} has zeros from {torn} on"

    return _change(path, tear)


def missing_file(files: Files, chance: Random) -> str | None:
    """A file is gone."""
    path = chance.choice(files.existing(*ALL_FILES))
    path.unlink()
    return f"{path.name} is missing"


def stale_file(files: Files, chance: Random) -> str | None:
    """A file is that of an older moment; if there was none then, there is none now."""
    path = chance.choice(files.existing(*ALL_FILES))
    older = files.older / path.name
    if older.exists():
        shutil.copy(older, path)
    else:
        path.unlink()
    return f"{path.name} is that of an older moment"


def stale_log(files: Files, chance: Random) -> str | None:
    """The log is that of an older moment, in whole; one of its witnesses is not."""
    for suffix in (".db", ".db-wal", ".db-shm"):
        path = files.folder / f"{NAMESPACE}{suffix}"
        path.unlink(missing_ok=True)
        if (older := files.older / path.name).exists():
            shutil.copy(older, path)
    gone = chance.choice((".head", ".state"))
    (files.folder / f"{NAMESPACE}{gone}").unlink()
    return f"the log is that of an older moment, {gone} is gone"


def log_of_another_namespace(files: Files, chance: Random) -> str | None:
    """The database of another namespace, with or without this one's write-ahead log."""
    shutil.copy(files.folder / f"{OTHER_NAMESPACE}.db", files.folder / f"{NAMESPACE}.db")
    if chance.random() < 0.5:
        (files.folder / f"{NAMESPACE}.db-wal").unlink(missing_ok=True)
    return f"{NAMESPACE}.db is the log of another namespace"


# How often each is done, of the sum of these.
DAMAGES: Final[dict[Damage, int]] = {
    flipped_bit: 10,
    truncated: 3,
    zeroed_page: 2,
    rubbish_page: 2,
    swapped_pages: 3,
    stale_page: 3,
    torn_frame: 2,
    missing_file: 2,
    stale_file: 2,
    stale_log: 1,
    log_of_another_namespace: 1,
}
