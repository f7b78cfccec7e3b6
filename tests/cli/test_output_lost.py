"""Standard output that takes nothing: one sentence and exit code 1, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import SECONDS_MAX
from tests.golden.test_golden_logs import GOLDEN, NEWEST

LOG = GOLDEN / NEWEST / "log.db"
COMMANDS = ("--version", f"verify {LOG}", f"export {LOG} -q")


def _run(command: str, redirected: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    shell = f"{sys.executable} -m gapless_server {command} {redirected}"
    return subprocess.run(
        ["sh", "-c", shell],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        # Where nothing is buffered the writes fail, and otherwise the flushes.
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_standard_output_is_told(command: str, unbuffered: str) -> None:
    ended = _run(command, ">/dev/full", unbuffered)

    assert ended.returncode == 1
    [error] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert "No space left on device" in error
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_a_closed_standard_output_is_told() -> None:
    ended = _run("config", ">&-")

    assert ended.returncode == 1
    assert ended.stderr == (
        "Error: standard output is closed; expected an open one: send it to /dev/null if need be\n"
    )


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_without_standard_error_the_exit_code_is_what_it_is(
    redirected: str, tmp_path: Path
) -> None:
    export = tmp_path / "log.jsonl"
    assert _run(f"verify {LOG}", redirected).returncode == 0
    assert _run(f"export {LOG} -o {export}", redirected).returncode == 0
    assert _run(f"import-log {export} --data {tmp_path}/data -n x", redirected).returncode == 0
    assert _run(f"verify {tmp_path / 'nowhere'}", redirected).returncode == 2


def test_a_reader_that_has_enough_hears_nothing() -> None:
    ended = _run("config", "| true")

    assert ended.stderr == ""
