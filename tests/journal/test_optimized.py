"""The safety checks hold under `python -O`, which leaves every assertion out (G8)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_g8_every_safety_check_holds_without_assertions(tmp_path: Path) -> None:
    program = [sys.executable, "-O", "-m", "tests.journal.optimized_program", str(tmp_path)]

    done = subprocess.run(
        program,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout) == {
        "assertions": False,
        "stopped_by": {
            "a broken chain": "Corrupt",
            "a log shorter than its witness": "Corrupt",
            "a missing round": "Corrupt",
            "a newer format": "JournalError",
            "a round out of order": "ValueError",
            "a PRAGMA that does not apply": "JournalError",
            "a log that is owned": "OwnedElsewhere",
            "a sequence with a gap": "GapError",
            "a number that is held": "GapError",
        },
    }
