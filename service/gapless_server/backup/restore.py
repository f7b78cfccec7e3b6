"""Restores: a namespace made of the folder of a backup, after all of it was checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gapless_server.backup.faults import DamagedBackup, UnusableBackup
from gapless_server.backup.folders import new_file, require_same
from gapless_server.backup.manifest import LOG_NAME, Manifest
from gapless_server.backup.places import Place, Restored
from gapless_server.core.kernel import Kernel
from gapless_server.journal.copies import FILE_HASH_BYTES
from gapless_server.journal.port import Corrupt, JournalError
from gapless_server.verify.log_files import LogFile
from gapless_server.verify.recount import Recount, Result

_READ_BYTES: Final = 1024 * 1024


def restore(
    backup: Path,
    manifest: Manifest,
    place: Place,
    kernel: Kernel,
    now_us: int,
    on_progress: Callable[[int], None],
) -> Restored:
    """Makes a namespace of a backup.

    `on_progress` is told the position up to which the log was checked. Raises UnusableBackup or
    DamagedBackup; then nothing is left.
    """
    _copy(backup / LOG_NAME, manifest, place.draft)
    result = _recount(manifest, place.draft, kernel, on_progress)
    return place.take(result, manifest.incarnation, now_us)


def _copy(source: Path, manifest: Manifest, draft: Path) -> None:
    """Copies the file and checks what it copied: the source may change or fail meanwhile."""
    digest = hashlib.blake2b(digest_size=FILE_HASH_BYTES)
    size_bytes = 0
    try:
        with source.open("rb") as file, new_file(draft) as copy:
            while chunk := file.read(_READ_BYTES):
                copy.write(chunk)
                digest.update(chunk)
                size_bytes += len(chunk)
    except FileNotFoundError as error:
        raise UnusableBackup(f"{source} is not there; the backup is not whole") from error
    require_same(manifest, size_bytes, digest.digest(), str(source))


def _recount(
    manifest: Manifest, draft: Path, kernel: Kernel, on_progress: Callable[[int], None]
) -> Result:
    recount = Recount(kernel)
    try:
        with LogFile(draft) as log:
            incarnation = log.incarnation
            for record in log.rounds():
                recount.observe(record)
                on_progress(record.last_position)
    except Corrupt as error:
        raise DamagedBackup(str(error)) from error
    except JournalError as error:
        raise UnusableBackup(str(error)) from error
    result = recount.finish()
    if (incarnation, result.head) != (manifest.incarnation, manifest.head):
        raise DamagedBackup(
            f"the log is incarnation {incarnation} and ends at position {result.head.position} with"
            f" chain hash {result.head.chain_hash.hex()}; the manifest says {manifest.incarnation},"
            f" {manifest.head_position} and {manifest.chain_hash}"
        )
    return result
