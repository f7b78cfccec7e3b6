"""What `make` says where it cannot do what it is for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Stands for an interpreter of another version, as far as `-c` goes.
OLDER = """#!/bin/sh
exec {python} -c 'import sys; sys.version_info = (3, 9, 2); exec(sys.argv[2])' "$@"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")
@pytest.mark.parametrize("environment", ["VENV", "VENV_PROTOS", "VENV_BENCH"])
def test_a_python_that_is_too_old_is_told_at_once(environment: str, tmp_path: Path) -> None:
    older, made = tmp_path / "older", tmp_path / "made"
    older.write_text(OLDER.format(python=sys.executable))
    older.chmod(0o755)

    ended = subprocess.run(
        ["make", f"PYTHON={older}", f"{environment}={made}", f"{made}/bin/python"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"gapless needs Python 3.11 or later, and {older} is 3.9; name another:"
        " make PYTHON=python3.11\n"
    )
    assert not made.exists()
