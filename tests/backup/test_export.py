"""`gapless export` and `gapless import-log`: a log as text, and back, with nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gapless_server.verify.log_files import LogFile
from tests.cli.commands import run
from tests.golden.test_golden_logs import GOLDEN, NEWEST, expected_of
from tools.make_golden_log import read_story

LOG = GOLDEN / NEWEST / "log.db"
ROUNDS = len(read_story(GOLDEN / NEWEST)[0])


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The golden log as it is exported."""
    shown = run("export", LOG, "--quiet")
    assert shown.exit_code == 0, shown.output
    return shown.stdout.splitlines()


def import_log(lines: list[str], directory: Path) -> tuple[int, str]:
    """Imports lines as a namespace; returns the exit code and what was said."""
    file = directory / "log.jsonl"
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    shown = run("import-log", file, "--data", directory / "data", "-n", "copy", "--json")
    return shown.exit_code, shown.output


def state_hash(log: Path) -> str:
    [found] = json.loads(run("verify", log, "--state-hash", "--json").stdout).values()
    assert found["breaches"] == []
    return str(found["state_hash"])


def test_g10_a_log_that_was_exported_and_imported_is_the_same_to_the_byte(
    lines: list[str], tmp_path: Path
) -> None:
    code, said = import_log(lines, tmp_path)

    assert code == 0, said
    copy = tmp_path / "data" / "namespaces" / "copy.db"
    with LogFile(LOG) as log, LogFile(copy) as copied:
        *rounds, last = copied.rounds()
        assert rounds == list(log.rounds())
        assert copied.incarnation != log.incarnation
    restored = json.loads(said)
    assert restored["previous_chain_hash"] == expected_of(NEWEST)["chain_hash"]
    assert last.last_position == restored["head_position"]


def test_g10_an_import_gives_the_same_state(lines: list[str], tmp_path: Path) -> None:
    """Twice, since the restore that an import is ends the locks that the golden log holds."""
    assert import_log(lines, tmp_path)[0] == 0
    first = tmp_path / "data" / "namespaces" / "copy.db"
    again = tmp_path / "again"
    again.mkdir()
    exported = run("export", first, "--quiet").stdout.splitlines()

    assert import_log(exported, again)[0] == 0

    assert state_hash(first) == state_hash(again / "data" / "namespaces" / "copy.db")


def changed(old: str, new: str) -> Callable[[str], str]:
    def change(line: str) -> str:
        assert old in line
        return line.replace(old, new, 1)

    return change


BAD_LINES = {
    "not JSON": (2, lambda line: line[:-1], "line 2: "),
    "another position": (
        2,
        changed('"position":"1"', '"position":"7"'),
        "has position 7, expected",
    ),
    "another text": (2, changed('"General"', '"Colonel"'), "line 3: the chain hash is not that of"),
    "an unknown field": (2, changed('"answer"', '"colour"'), 'no field named "colour"'),
    "no entry": (2, lambda _line: "{}", "line 2: has no 'stored'"),
    "another time": (3, changed('"uptime_us":"1', '"uptime_us":"2'), "line 3: the chain hash"),
    "no end": (-1, lambda _line: "", "Expecting value"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_left(
    name: str, lines: list[str], tmp_path: Path
) -> None:
    number, change, said = BAD_LINES[name]
    index = number - 1 if number > 0 else number
    bad = list(lines)
    bad[index] = change(bad[index])

    code, output = import_log(bad, tmp_path)

    assert (code, said in output) == (3, True), output
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == [
        "owner.lock"
    ]


def test_g10_the_last_line_must_name_the_chain_hash_that_the_log_ends_with(
    lines: list[str], tmp_path: Path
) -> None:
    end = json.loads(lines[-1])
    end["end"]["chain_hash"] = "00" * 32

    code, output = import_log([*lines[:-1], json.dumps(end)], tmp_path)

    assert code == 3
    assert f"line {len(lines)}: says that the log ends with chain hash '{'00' * 32}'" in output


@pytest.mark.parametrize("incarnation", [5, "", "00aa", "x" * 16, "0" * 17])
def test_the_first_line_must_name_an_incarnation(
    incarnation: object, lines: list[str], tmp_path: Path
) -> None:
    first = {**json.loads(lines[0]), "incarnation": incarnation}

    code, output = import_log([json.dumps(first), *lines[1:]], tmp_path)

    assert code == 2
    assert f"its incarnation is {incarnation!r}, expected 16 digits in hex" in output


def test_the_export_of_an_empty_log_is_taken(lines: list[str], tmp_path: Path) -> None:
    end = {"end": {"position": 0, "chain_hash": ""}}

    code, output = import_log([lines[0], json.dumps(end)], tmp_path)

    assert code == 0, output


def test_an_export_that_was_cut_off_is_refused(lines: list[str], tmp_path: Path) -> None:
    code, output = import_log(lines[:-1], tmp_path)

    assert code == 3
    assert "the last line is missing" in output


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    code, output = import_log(["{}"], tmp_path)

    assert code == 2
    assert "line 1 is not the first one of an export" in output
