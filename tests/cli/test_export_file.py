"""`gapless export --output`: a file is replaced when all is there, and no log is written to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.limits import umask
from tests.verify.logs import NAMESPACE, change, copy_of, log_of, make_log

OLD = "an export of last week\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that has stopped; not to be changed."""
    return make_log(tmp_path_factory.mktemp("cli-export"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder of its own with an export in it."""
    path = tmp_path / "exports" / "log.jsonl"
    path.parent.mkdir()
    path.write_text(OLD)
    return path


def test_an_export_takes_the_place_of_an_older_one_and_keeps_its_mode(
    data: Path, old: Path
) -> None:
    old.chmod(0o600)

    shown = run("export", data, "-n", NAMESPACE, "-q", "-o", old)

    assert shown.exit_code == 0, shown.output
    assert old.read_text() == run("export", data, "-n", NAMESPACE, "-q").stdout
    assert old.stat().st_mode & 0o777 == 0o600
    assert list(old.parent.iterdir()) == [old]


def test_a_new_export_is_for_its_owner_alone(data: Path, tmp_path: Path) -> None:
    with umask(0o022):
        shown = run("export", data, "-n", NAMESPACE, "-q", "-o", tmp_path / "log.jsonl")

    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "log.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("arguments", [("nowhere",), ("data", "-n", "nobody")])
def test_a_wrong_source_leaves_the_older_export(
    data: Path, old: Path, arguments: tuple[str, ...]
) -> None:
    shown = run("export", data.with_name(arguments[0]), *arguments[1:], "-q", "-o", old)

    assert shown.exit_code == 2
    assert old.read_text() == OLD


def test_a_damaged_log_leaves_the_older_export(data: Path, old: Path, tmp_path: Path) -> None:
    log = copy_of(data, tmp_path / "damaged")
    change(log, "UPDATE rounds SET data = x'ff' WHERE first_position = 5")

    shown = run("export", log, "-q", "-o", old)

    assert shown.exit_code == 3
    assert f"what was at {old} before is as it was" in shown.output.replace("\n", " ")
    assert old.read_text() == OLD
    assert list(old.parent.iterdir()) == [old]


def test_no_file_of_a_service_is_written_to(data: Path, tmp_path: Path) -> None:
    log = copy_of(data, tmp_path)
    copy = log.parent.parent
    link = tmp_path / "link.jsonl"
    link.symlink_to(log)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}

    others = (copy / "owner.lock", copy / "new.jsonl", log.parent / "new.jsonl")
    for output in (log, log.with_suffix(".head"), log.with_suffix(".state"), link, *others):
        shown = run("export", log, "-q", "-o", output)
        assert (shown.exit_code, "lies among the files of a service" in shown.output) == (2, True)

    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_log_that_lies_alone_is_not_written_to_but_beside_it(data: Path, tmp_path: Path) -> None:
    log = Path(shutil.copy(log_of(data), tmp_path / "log.db"))
    before = log.read_bytes()

    refused = run("export", log, "-q", "-o", log)
    beside = run("export", log, "-q", "-o", tmp_path / "log.jsonl")

    assert (refused.exit_code, beside.exit_code) == (2, 0)
    assert log.read_bytes() == before


def test_a_symlink_stays_one_and_its_file_is_replaced(data: Path, old: Path) -> None:
    link = old.with_name("newest")
    link.symlink_to(old)

    assert run("export", data, "-n", NAMESPACE, "-q", "-o", link).exit_code == 0

    assert link.is_symlink()
    assert old.read_text() == run("export", data, "-n", NAMESPACE, "-q").stdout


def test_standard_output_by_its_name_is_written_directly(data: Path, tmp_path: Path) -> None:
    export = f"{sys.executable} -m gapless_server export {data} -n {NAMESPACE} -q"
    file = tmp_path / "file"
    for target in (f"> {file}", f"| cat > {file}"):
        subprocess.run(["sh", "-c", f"{export} -o /dev/stdout {target}"], check=True)
        assert file.read_text() == run("export", data, "-n", NAMESPACE, "-q").stdout
    assert list(tmp_path.iterdir()) == [file]
