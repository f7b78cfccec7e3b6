"""The folder of a backup is there whole, on the disk, before anybody can take it for one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gapless_server.backup.folders import write_backup
from gapless_server.backup.manifest import LOG_NAME, MANIFEST_NAME, Manifest
from tests.journal.syncing import Synced

DATA = b"what the service sent"


async def chunks() -> AsyncIterator[bytes]:
    yield DATA


async def test_all_of_a_backup_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(
        namespace="default",
        incarnation="00" * 8,
        head_position=1,
        chain_hash="00" * 32,
        format_version=1,
        version="0",
        size_bytes=len(DATA),
        file_hash=hashlib.blake2b(DATA, digest_size=32).hexdigest(),
        create_time_us=0,
    )
    synced = Synced(monkeypatch)

    await write_backup(tmp_path / "backup", manifest, chunks(), lambda _size: None)

    backup = tmp_path / "backup"
    written = [backup / LOG_NAME, backup / MANIFEST_NAME, backup]
    assert [synced.holds(path) for path in [*written, tmp_path]] == [True] * 4
    # Its name comes after everything in it: the folder that has the name is synced last.
    assert synced.last(tmp_path)
