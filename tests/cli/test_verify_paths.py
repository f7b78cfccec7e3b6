"""`gapless verify` of what it may not or can not read: no promise is broken by that."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.golden.test_golden_logs import GOLDEN, NEWEST

LOG = GOLDEN / NEWEST / "log.db"
NOBODY = 65_534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may look into, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything; while this lasts, we are not root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _refused(command: str, path: Path) -> str:
    run(command, "--help")  # what it needs is imported while we may
    with as_nobody():
        refused = run(command, path)
    assert refused.exit_code == 2, refused.output
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.count("\n") == 1
    return refused.stderr


@pytest.mark.parametrize("command", ["verify", "export"])
@pytest.mark.parametrize("name", ["closed", "closed/data", "closed/log.db"])
def test_a_path_in_a_folder_that_may_not_be_looked_into(
    command: str, name: str, folder: Path
) -> None:
    (folder / "closed" / "data" / "namespaces").mkdir(parents=True)
    shutil.copy(LOG, folder / "closed")
    (folder / "closed").chmod(0)
    try:
        assert f"{folder / name} cannot be read: Permission denied" in _refused(
            command, folder / name
        )
    finally:
        (folder / "closed").chmod(0o700)


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_log_that_may_not_be_read(command: str, folder: Path) -> None:
    log = Path(shutil.copy(LOG, folder))
    log.chmod(0)

    assert f"{log} cannot be read: unable to open database file; run this as" in _refused(
        command, log
    )


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_data_directory_whose_name_ends_in_db_is_one(command: str, tmp_path: Path) -> None:
    logs = tmp_path / "data.db" / "namespaces"
    logs.mkdir(parents=True)
    shutil.copy(LOG, logs / "default.db")

    assert run(command, tmp_path / "data.db").exit_code == 0


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_name_that_is_too_long_and_a_folder_that_ends_in_db(command: str, tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()

    assert "File name too long" in _refused(command, Path("x" * 300))
    assert "File name too long" in _refused(command, Path(f"{'x' * 300}.db"))
    with pytest.MonkeyPatch.context() as here:
        here.chdir(tmp_path)
        assert run(command, "folder.db").exit_code == 2


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_file_that_does_not_end_in_db_is_no_log(command: str) -> None:
    refused = run(command, __file__)

    assert refused.exit_code == 2
    assert "which ends in .db" in refused.output


def test_a_log_whose_bytes_are_rubbish_is_still_a_broken_promise(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    log.write_bytes(b"rubbish" * 1000)

    assert run("verify", log).exit_code == 3
