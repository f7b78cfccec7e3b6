"""Folders of backups: a manifest and a log file, there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, Final

from gapless_server.backup.faults import DamagedBackup, PlaceTaken
from gapless_server.backup.manifest import LOG_NAME, MANIFEST_NAME, Manifest
from gapless_server.journal.copies import FILE_HASH_BYTES
from gapless_server.journal.sqlite import sync_directory
from gapless_server.journal.sqlite_store import OWNER_LOCK

# A line a mount, and which of its fields is where.
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")


async def write_backup(
    folder: Path,
    manifest: Manifest,
    chunks: AsyncIterator[bytes],
    on_progress: Callable[[int], None],
) -> None:
    """Writes a backup into a folder that is not there, or is empty, and syncs it.

    `on_progress` is told how many bytes there are so far. Raises PlaceTaken, DamagedBackup if
    what came is not what the manifest says, or OSError; then the folder is as it was.
    """
    folder = require_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir(mode=0o700)
    try:
        await _write_log(draft / LOG_NAME, manifest, chunks, on_progress)
        _write_synced(draft / MANIFEST_NAME, manifest.to_json())
        sync_directory(draft)
        draft.rename(folder)
        sync_directory(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def is_among_data(path: Path) -> bool:
    """Says whether a path lies in a data directory, where a service would take it for its own."""
    return any((folder / OWNER_LOCK).exists() for folder in path.resolve().parents)


def require_free(folder: Path) -> Path:
    """Returns the folder by its own name, or raises PlaceTaken if no backup can be there.

    That is if there is something in it, if it is none, if nothing can take its place, or if it lies
    among the files of a service.
    """
    if is_among_data(folder):
        raise PlaceTaken(
            f"{folder} lies among the files of a service; name a folder outside of its data"
            " directory"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PlaceTaken(f"{folder} is there already; name a folder that is not, or an empty one")
    # A symlink stays one, and the folder that one is in has a name as well.
    resolved = folder.resolve()
    if _is_mount_point(resolved):
        raise PlaceTaken(
            f"{folder} is a mount point, whose place nothing can take; name a folder in it"
        )
    return resolved


def _is_mount_point(folder: Path) -> bool:
    """Says whether something is mounted at a resolved path, be it of the same file system."""
    if os.path.ismount(folder):
        return True
    # A bind mount is on the device of the folder that it is in; only the kernel tells.
    try:
        mounts = _MOUNTS.read_bytes().splitlines()
    except OSError:  # not on every platform
        return False
    return os.fsencode(folder) in (_unescaped(mount.split()[_MOUNT_POINT]) for mount in mounts)


def _unescaped(path: bytes) -> bytes:
    """Returns a path as it is: the kernel writes a blank as its number in octal."""
    return _ESCAPE.sub(lambda found: bytes([int(found[1], base=8)]), path)


async def _write_log(
    path: Path,
    manifest: Manifest,
    chunks: AsyncIterator[bytes],
    on_progress: Callable[[int], None],
) -> None:
    digest = hashlib.blake2b(digest_size=FILE_HASH_BYTES)
    size_bytes = 0
    with new_file(path) as file:
        async for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size_bytes += len(chunk)
            on_progress(size_bytes)
        file.flush()
        os.fsync(file.fileno())
    require_same(manifest, size_bytes, digest.digest(), "what the service sent")


def require_same(manifest: Manifest, size_bytes: int, file_hash: bytes, what: str) -> None:
    """Raises DamagedBackup if a file is not the one that the manifest describes."""
    if size_bytes != manifest.size_bytes:
        raise DamagedBackup(
            f"{what} has {size_bytes} bytes, the manifest says {manifest.size_bytes}"
        )
    if file_hash.hex() != manifest.file_hash:
        raise DamagedBackup(
            f"{what} has the hash {file_hash.hex()}, the manifest says {manifest.file_hash}: it was"
            " changed or damaged"
        )


def new_file(path: Path) -> BinaryIO:
    """Makes a file for its owner alone, whatever becomes of the mode of its folder."""
    path.touch(mode=0o600, exist_ok=False)
    return path.open("wb")


def _write_synced(path: Path, data: bytes) -> None:
    with new_file(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
