"""One process at a time writes a SQLite log, by whatever path it comes (G9, J6)."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gapless.testing import SubprocessServer
from gapless_server.journal.port import EMPTY_HEAD, OwnedElsewhere
from gapless_server.journal.sqlite_store import SqliteJournalStore
from tests.cli.commands import run_process
from tests.journal.rounds import next_round, read_all

ADDRESS = "127.0.0.1:4275"

# What a second process does: takes the directory, and says what keeps it from that.
SECOND_PROCESS = """
import sys
from pathlib import Path
from gapless_server.journal.port import OwnedElsewhere
from gapless_server.journal.sqlite_store import SqliteJournalStore
try:
    SqliteJournalStore(Path(sys.argv[1]), "127.0.0.1:4276")
except OwnedElsewhere as error:
    print(error)
else:
    print("taken")
"""


def take_in_second_process(directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


async def test_g9_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)

    told = take_in_second_process(tmp_path / "data")

    assert re.fullmatch(
        rf"\S+ is in use by process {os.getpid()} on \S+, serving {ADDRESS};"
        " stop that process or use another data directory",
        told,
    )
    await store.close()


async def test_g9_a_directory_that_was_given_free_can_be_taken(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    await store.close()

    assert take_in_second_process(tmp_path / "data") == "taken"


async def test_g9_a_directory_whose_owner_was_killed_can_be_taken(tmp_path: Path) -> None:
    holds_until_killed = SECOND_PROCESS + "\nsys.stdout.flush(); sys.stdin.read()"
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
        [sys.executable, "-c", holds_until_killed, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        with pytest.raises(OwnedElsewhere, match=f"process {process.pid}"):
            SqliteJournalStore(tmp_path / "data", ADDRESS)
        process.kill()

    await SqliteJournalStore(tmp_path / "data", ADDRESS).close()


async def test_g9_a_directory_is_owned_through_a_symbolic_link_too(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    (tmp_path / "other").symlink_to(tmp_path / "data")

    with pytest.raises(OwnedElsewhere, match=f"process {os.getpid()}"):
        SqliteJournalStore(tmp_path / "other", "127.0.0.1:4276")
    assert "process" in take_in_second_process(tmp_path / "other")
    await store.close()


async def test_g9_a_directory_is_owned_by_a_relative_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OwnedElsewhere):
        SqliteJournalStore(Path("data"), "127.0.0.1:4276")
    await store.close()


@pytest.mark.parametrize("make_link", [os.link, os.symlink], ids=["hard link", "symbolic link"])
async def test_g9_a_log_is_owned_through_a_link_in_another_directory_too(
    tmp_path: Path, make_link: object
) -> None:
    assert callable(make_link)
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))
    other = SqliteJournalStore(tmp_path / "other", "127.0.0.1:4276")
    make_link(store.path("one"), other.path("one"))

    with pytest.raises(OwnedElsewhere, match=r"one\.db is in use"):
        await other.open("one")

    await journal.append(next_round(journal.head))
    assert len(await read_all(journal)) == 2
    await journal.close()
    await store.close()
    await other.close()


async def test_g9_reading_beside_the_writer_does_not_give_the_log_free(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops the locks that SQLite itself holds on it."""
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))
    await read_all(journal)
    os.close(os.open(store.path("one"), os.O_RDONLY))
    other = SqliteJournalStore(tmp_path / "other", "127.0.0.1:4276")
    other.path("one").hardlink_to(store.path("one"))

    with pytest.raises(OwnedElsewhere):
        await other.open("one")

    await journal.close()
    await store.close()
    await other.close()


@contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """Shows a directory at another place as well, as containers do with their volumes."""
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "--bind", source, target], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a bind mount cannot be made here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="a bind mount needs root")
async def test_g9_a_directory_and_its_logs_are_owned_through_a_bind_mount_too(
    tmp_path: Path,
) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))
    other = SqliteJournalStore(tmp_path / "other", "127.0.0.1:4276")
    other.path("one").parent.rmdir()

    with (
        bound(tmp_path / "data", tmp_path / "mounted"),
        bound(tmp_path / "data" / "namespaces", tmp_path / "other" / "namespaces"),
    ):
        told = take_in_second_process(tmp_path / "mounted")
        with pytest.raises(OwnedElsewhere, match=r"one\.db is in use"):
            await other.open("one")

    assert f"is in use by process {os.getpid()}" in told
    await journal.close()
    await store.close()
    await other.close()


def test_g9_nothing_that_an_operator_runs_beside_a_service_gives_its_data_free(
    tmp_path: Path,
) -> None:
    """Backups, status, verify and export read files of the log, and are done with them."""
    other = SqliteJournalStore(tmp_path / "other", "127.0.0.1:4276")
    with SubprocessServer(directory=tmp_path) as server, server.client("one") as client:
        client.config.set("key", "value")
        other.path("one").hardlink_to(tmp_path / "data" / "namespaces" / "one.db")
        beside = (
            ("backup", "--address", server.address, "-n", "one", tmp_path / "backup"),
            ("status", "--address", server.address, "-n", "one"),
            ("verify", tmp_path / "data"),
            ("export", tmp_path / "data", "-n", "one"),
        )
        for arguments in beside:
            done = run_process(*arguments)
            assert done.returncode == 0, done.stderr

            assert f"process {server.pid}" in take_in_second_process(tmp_path / "data")
            with pytest.raises(OwnedElsewhere, match=r"one\.db is in use"):
                asyncio.run(other.open("one"))
        assert client.config.set("key", "other").receipt.position == 2
    asyncio.run(other.close())


async def test_the_data_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)
    journal = await store.open("one")
    await journal.append(next_round(EMPTY_HEAD))

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").rglob("*")}

    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert modes["namespaces"] == 0o700
    assert modes["one.db"] == 0o600
    assert modes["one.db-wal"] == 0o600
    await journal.close()
    await store.close()


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "-a", "a" * 64, "a\n", "ü"])
async def test_a_name_that_is_no_safe_file_name_is_refused(tmp_path: Path, name: str) -> None:
    store = SqliteJournalStore(tmp_path / "data", ADDRESS)

    with pytest.raises(ValueError, match="does not match"):
        await store.open(name)
    await store.close()


async def test_a_disk_without_room_for_the_owner_keeps_nobody_from_serving(tmp_path: Path) -> None:
    store = SqliteJournalStore(tmp_path, ADDRESS)
    await store.close()
    (tmp_path / "owner.json").symlink_to("/dev/full")

    store = SqliteJournalStore(tmp_path, ADDRESS)

    store.announce(ADDRESS)
    await store.close()
