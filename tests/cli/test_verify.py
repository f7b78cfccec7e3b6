"""`gapless verify`: 0 for a good log, 3 and a sentence for a broken one, 2 for no log."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gapless_server.journal.schema import PAGE_BYTES
from tests.cli.commands import run
from tests.verify.logs import ENTRIES, HEAD, NAMESPACE, change, copy_of, log_of, make_log

# What is done to the log, and what is said of it.
TAMPERINGS = {
    "flipped": (
        [
            "UPDATE rounds SET"
            " data = CAST(substr(data, 1, 20) || x'00' || substr(data, 22) AS BLOB)"
            " WHERE first_position = 5"
        ],
        "positions 5 to 5: the hash is not that of these bytes",
    ),
    "removed": (
        ["DELETE FROM rounds WHERE first_position = 5"],
        "position 5 is missing: the next round is positions 6 to 6",
    ),
    "swapped": (
        [
            "UPDATE rounds SET first_position = 400, last_position = 5 WHERE first_position = 4",
            "UPDATE rounds SET first_position = 4, last_position = 4 WHERE first_position = 5",
            "UPDATE rounds SET first_position = 5 WHERE first_position = 400",
        ],
        "positions 4 to 4: the round holds other positions, 1 from 5 to 5",
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that has stopped; not to be changed."""
    return make_log(tmp_path_factory.mktemp("cli-verify"))


def test_a_good_log_ends_with_0_and_its_numbers(data: Path) -> None:
    shown = run("verify", data, "--json")

    assert shown.exit_code == 0
    result = json.loads(shown.stdout)[str(log_of(data))]
    assert result["breaches"] == []
    assert (result["namespace"], result["entries"]) == (NAMESPACE, ENTRIES)
    assert result["head_position"] == HEAD
    assert len(bytes.fromhex(result["chain_hash"])) == 32


def test_people_get_a_table(data: Path) -> None:
    shown = run("verify", data)

    [row] = [line for line in shown.stdout.splitlines() if NAMESPACE in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert [cells[0], cells[1], cells[3], cells[5]] == [NAMESPACE, "12", "12", "all hold"]


def test_the_data_directory_can_come_from_the_environment(data: Path) -> None:
    shown = run("verify", "--json", environment={"GAPLESS_DATA": str(data)})

    assert list(json.loads(shown.stdout)) == [str(log_of(data))]


def test_equal_logs_have_equal_state_hashes(data: Path, tmp_path: Path) -> None:
    copy = copy_of(data, tmp_path)

    hashes = {
        result["state_hash"]
        for log in (log_of(data), copy)
        for result in json.loads(run("verify", log, "--json", "--state-hash").stdout).values()
    }

    assert len(hashes) == 1


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_g8_a_log_that_was_tampered_with_ends_with_3_and_says_where(
    data: Path, tmp_path: Path, tampering: str
) -> None:
    statements, sentence = TAMPERINGS[tampering]
    log = copy_of(data, tmp_path)
    for statement in statements:
        change(log, statement)

    shown = run("verify", log)

    assert shown.exit_code == 3
    assert sentence in shown.stdout
    assert f"1 of 1 logs break a promise: {log}" in shown.stderr


def test_g8_a_damaged_database_ends_with_3(data: Path, tmp_path: Path) -> None:
    log = copy_of(data, tmp_path)
    with log.open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"\xff" * (log.stat().st_size - PAGE_BYTES))

    shown = run("verify", log, "--json")

    assert shown.exit_code == 3
    [breach, *_others] = json.loads(shown.stdout)[str(log)]["breaches"]
    assert breach.startswith(f"{log} cannot be read")


@pytest.mark.parametrize("namespace", [None, "unknown"])
def test_a_place_without_the_log_ends_with_2(
    data: Path, tmp_path: Path, namespace: str | None
) -> None:
    place = data if namespace else tmp_path

    shown = run("verify", place, *(["--namespace", namespace] if namespace else []))

    assert shown.exit_code == 2
    assert shown.stderr.startswith(f"Error: {place} holds no log")


def test_a_head_that_was_written_down_is_found_again(data: Path) -> None:
    [shown] = json.loads(run("verify", data, "--json").stdout).values()

    good = run("verify", data, "--expect", f"{HEAD}:{shown['chain_hash']}")
    other_hash = run("verify", data, "--expect", f"{HEAD}:{'0' * 64}")
    other_length = run("verify", data, "--expect", f"{HEAD + 1}:{shown['chain_hash']}")

    assert good.exit_code == 0
    assert other_hash.exit_code == 3
    assert f"position {HEAD}: the chain hash is {shown['chain_hash']}" in other_hash.stdout
    assert other_length.exit_code == 3
    assert f"but the log ends at position {HEAD}" in other_length.stdout


def test_what_is_no_head_is_refused(data: Path) -> None:
    refused = run("verify", data, "--expect", "12")

    assert refused.exit_code == 2
    assert "'12' is not a position, a colon and 64 hex digits" in refused.stderr


@pytest.mark.parametrize(("is_damaged", "code"), [(True, 3), (False, 2)])
def test_g8_a_log_that_cannot_be_read_does_not_hide_what_the_others_are(
    data: Path, tmp_path: Path, is_damaged: bool, code: int
) -> None:
    log = copy_of(data, tmp_path)
    # The one that is not read comes first, in the order of names.
    newer, other = log.with_name("a.db"), log.with_name("b.db")
    for copy in (newer, other):
        shutil.copy(log, copy)
    for file in log.parent.glob(f"{NAMESPACE}.*"):
        file.unlink()
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    if is_damaged:
        change(other, "DELETE FROM rounds WHERE first_position = 5")

    shown = run("verify", newer.parent.parent, "--json")
    table = run("verify", newer.parent.parent)

    rows = json.loads(shown.stdout)
    assert (shown.exit_code, table.exit_code) == (code, code)
    assert "has format 99" in rows[str(newer)]["error"]
    assert (rows[str(newer)]["entries"], rows[str(newer)]["breaches"]) == (None, [])
    assert (bool(rows[str(other)]["breaches"]), rows[str(other)]["error"]) == (is_damaged, None)
    assert f"1 of 2 logs cannot be read: {newer}" in shown.stderr
    assert f"a: {newer} has format 99" in table.stdout
