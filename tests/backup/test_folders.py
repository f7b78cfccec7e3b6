"""The folder of a backup is there whole, on the disk, before anybody can take it for one."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gapless.testing import InProcessServer
from gapless_server.backup.folders import write_backup
from gapless_server.backup.manifest import LOG_NAME, MANIFEST_NAME, Manifest
from tests.cli.commands import run
from tests.journal.syncing import Synced
from tests.limits import umask

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


@pytest.mark.parametrize("place", ["drafts/bk", "namespaces/x.db", "namespaces", "more/and/more"])
def test_no_backup_comes_among_the_files_of_a_service(place: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with InProcessServer(directory=tmp_path) as server:
        refused = run("backup", data / place, "-a", server.address)

    assert (refused.exit_code, "among the files of a service" in refused.stderr) == (2, True)
    assert list(data.rglob("*.json")) == []


def test_a_folder_among_the_drafts_stays_and_keeps_no_service_from_its_start(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data" / "drafts" / "bk"
    folder.mkdir(parents=True)
    (folder / "file").touch()

    with InProcessServer(directory=tmp_path) as server, server.client() as client:
        client.channels.create("c1")

    assert (folder / "file").exists()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A service with one namespace."""
    with InProcessServer(directory=tmp_path_factory.mktemp("folders")) as server:
        with server.client() as client:
            client.channels.create("c1")
        yield server


@pytest.mark.parametrize("name", [".", "../empty", "../link", "new/one"])
def test_an_empty_folder_gets_the_backup_however_it_is_named(
    name: str, server: InProcessServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    monkeypatch.chdir(tmp_path / "empty")
    folder = (tmp_path / "empty" / name).resolve()

    backed_up = run("backup", name, "-a", server.address)

    assert backed_up.exit_code == 0, backed_up.output
    assert {path.name for path in folder.iterdir()} == {LOG_NAME, MANIFEST_NAME}
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "link"}


def test_a_backup_and_what_is_restored_of_it_are_for_their_owner_alone(
    server: InProcessServer, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with umask(0o022):
        assert run("backup", tmp_path / "backup", "-a", server.address).exit_code == 0
        assert run("restore", tmp_path / "backup", "--data", data).exit_code == 0
        with InProcessServer(directory=tmp_path):
            owner_mode = (data / "owner.json").stat().st_mode & 0o777

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {"manifest.json", "log.db", "default.db"}
    assert names <= {path.name for path in files}
    modes = {path.name: path.stat().st_mode & 0o777 for path in files if path.name in names}
    assert {*modes.values(), owner_mode} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_point_is_refused_before_anything_is_asked_for(tmp_path: Path, kind: str) -> None:
    folder, source = tmp_path / "mounted here", tmp_path / "source"
    folder.mkdir()
    source.mkdir()
    what = {
        "tmpfs": ["-t", "tmpfs", "-o", "size=1m", "tmpfs"],
        "bind": ["--bind", str(source)],
    }
    mounted = subprocess.run(["mount", *what[kind], str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this kernel mounts no {kind} here")
    try:
        refused = run("backup", folder, "-a", "127.0.0.1:1")
    finally:
        subprocess.run(["umount", str(folder)], check=True)

    assert (refused.exit_code, "name a folder in it" in refused.stderr) == (2, True)
