"""What is generated is fresh, and its generators notice what went stale in themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import make_sync

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("tool", ["make_errors.py", "make_sync.py"])
def test_generated_files_are_fresh(tool: str) -> None:
    check = subprocess.run(
        [sys.executable, f"tools/{tool}", "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert check.returncode == 0, check.stdout + check.stderr


def test_a_rule_that_changes_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_sync, "RULES", (*make_sync.RULES, (r"\bAsyncNowhere\b", "Nowhere")))

    with pytest.raises(SystemExit, match="AsyncNowhere"):
        make_sync.generate()


def test_the_blocking_client_waits_for_nothing_asynchronous() -> None:
    for path in make_sync.TARGET.glob("*.py"):
        source = path.read_text()
        if path.name not in make_sync.BY_HAND_IN_TARGET:
            assert "await" not in source, path
            assert "async " not in source, path
            assert "gapless._async" not in source, path
