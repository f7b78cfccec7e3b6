"""Runs every harness of tests/reliability to its full numbers, and keeps a ledger of the figures.

Run by ``make soak``; ``make soak ONLY="kills proxy"`` runs some. Each harness is a file
``tests/reliability/test_<name>.py``. The ledger, ``reliability/ledger.jsonl``, gets a line for each
harness that ran to its end: when, which commit, on what, how often, and what broke ("0 in N").
Ends with 1 if anything broke.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
HARNESSES = ROOT / "tests" / "reliability"
LEDGER = ROOT / "reliability" / "ledger.jsonl"


def names() -> list[str]:
    return [path.stem.removeprefix("test_") for path in sorted(HARNESSES.glob("test_*.py"))]


def commit() -> str:
    """Says which tree was measured; a tree with changes of its own is no commit."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return described.stdout.strip()


def run(name: str, log: Path, environment: dict[str, str]) -> tuple[list[dict[str, Any]], bool]:
    """Runs one harness; returns its lines, and whether it passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.jsonl"
        report.touch()
        with log.open("a") as output:
            ended = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "--timeout=0", "-p", "no:cacheprovider",
                 str(HARNESSES / f"test_{name}.py")],
                cwd=ROOT, stdout=output, stderr=output, check=False,
                env={**os.environ, **environment, "GAPLESS_REPORT": str(report)},
            )  # fmt: skip
        lines = [json.loads(line) for line in report.read_text().splitlines()]
    return lines, ended.returncode == 0


def told(line: dict[str, Any]) -> str:
    """Says what broke, as "0 lost, 0 gaps"."""
    return ", ".join(f"{number} {what}" for what, number in line["violations"].items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the reliability harnesses.")
    parser.add_argument("--only", nargs="*", default=[], help="names of harnesses")
    parser.add_argument("--small", action="store_true", help="the numbers of make test")
    parser.add_argument("--log", type=Path, default=ROOT / "soak.log", help="what pytest says")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(names()):
        parser.error(f"no harness is called {', '.join(sorted(unknown))}; there are: {names()}")
    found = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    machine = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cpus": os.cpu_count(),
    }
    table = Table("harness", "times", "broke", "seconds", "seed", "passed")
    failed = False
    for name in track(arguments.only or names(), "harnesses", console=Console(stderr=True)):
        tier = {} if arguments.small else {"GAPLESS_TIER": "full"}
        lines, passed = run(name, arguments.log, tier)
        failed |= not passed
        if not lines:
            table.add_row(name, "", f"nothing was told: see {arguments.log}", "", "", "no")
        for line in lines:
            verdict = "yes" if passed and line["finished"] else "no"
            table.add_row(
                line["harness"], f"{line['times']:,}", told(line), str(line["seconds"]),
                str(line["seed"]), verdict,
            )  # fmt: skip
            if line["finished"] and not arguments.small:
                LEDGER.parent.mkdir(exist_ok=True)
                with LEDGER.open("a") as ledger:
                    ledger.write(json.dumps({**found, **line, "machine": machine}) + "\n")
    Console().print(table)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
