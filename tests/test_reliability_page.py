"""The figures in RELIABILITY.md are those of the ledger, and there is a row for every harness."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import make_reliability  # noqa: E402  (a program, found by the path above)


def ledger_line(harness: str, **changes: object) -> dict[str, object]:
    line = {
        "date": "2026-01-02",
        "commit": "abc1234",
        "harness": harness,
        "times": 2000,
        "seed": 7,
        "violations": {"lost": 0, "gaps": 1},
    }
    return line | changes


def test_a_harness_that_was_not_run_says_so(tmp_path: Path) -> None:
    lines = make_reliability.newest_lines(tmp_path / "ledger.jsonl")

    assert "| kills | | not run yet | |" in make_reliability.figures(["kills"], lines)


def test_the_newest_line_of_a_harness_is_shown(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    written = [ledger_line("kills", times=1), ledger_line("gone"), ledger_line("kills")]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in written))

    shown = make_reliability.figures(["kills"], make_reliability.newest_lines(ledger))

    assert "| kills | 2,000 | 0 lost, 1 gaps | 2026-01-02, abc1234, 7 |" in shown
    assert shown.count("| kills |") == 1
    assert "| gone | 2,000 |" in shown


def test_every_harness_has_its_row() -> None:
    names = make_reliability.harness_names()

    assert {"planted_bugs", "fuzzing", "fuzzing_logs"} <= set(names)
    assert len(names) == len(set(names))
