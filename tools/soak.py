"""Runs every harness of tests/reliability to its full numbers, and keeps a ledger of the figures.

Run by ``make soak``; ``make soak ONLY="kills hostile_proxy"`` runs some, ``LANES=2`` two at a time.
Each harness is a file ``tests/reliability/test_<name>.py``. The ledger,
``reliability/ledger.jsonl``, gets a line for each harness that ran to its end: when, which commit,
on what, how often, and what broke ("0 in N"). Ends with 1 if anything broke, and with 130 after
Ctrl-C; what was finished before that is in the ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
HARNESSES = ROOT / "tests" / "reliability"
LEDGER = ROOT / "reliability" / "ledger.jsonl"

# Several times what the longest harness takes; one that takes longer hangs.
HOURS_MAX = 6.0


class Ended(NamedTuple):
    """What came of one harness."""

    name: str
    lines: list[dict[str, Any]]
    passed: bool
    output: str
    # Why there is nothing to tell; empty if there is.
    fault: str = ""


class Runner:
    """Runs harnesses as processes of their own, and ends those that run when it is told to."""

    def __init__(self, environment: dict[str, str], seconds_max: float) -> None:
        self._environment = {**os.environ, **environment}
        self._seconds_max = seconds_max
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, name: str) -> Ended:
        """Runs one harness; waits for it, but not for ever."""
        with tempfile.TemporaryDirectory() as folder:
            report, output = Path(folder) / "report.jsonl", Path(folder) / "output.txt"
            report.touch()
            with output.open("w") as file:
                process = self._start(name, report, file)
                if process is None:
                    return Ended(name, [], passed=False, output="", fault="was not begun")
                fault = self._wait(process)
            lines = [json.loads(line) for line in report.read_text().splitlines()]
            passed = process.returncode == 0 and not fault
            return Ended(name, lines, passed, output.read_text(errors="replace"), fault)

    def stop(self) -> None:
        """Ends what runs, with all that it has started, and begins nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end(process)

    def _start(self, name: str, report: Path, output: Any) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "--timeout=0", "-p", "no:cacheprovider",
                 str(HARNESSES / f"test_{name}.py")],
                cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True,
                env={**self._environment, "GAPLESS_REPORT": str(report)},
                # A group of its own: what it has started ends with it.
                start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
            return process

    def _wait(self, process: subprocess.Popen[str]) -> str:
        """Returns why it had to be ended, or nothing."""
        try:
            process.wait(self._seconds_max)
        except subprocess.TimeoutExpired:
            _end(process)
            process.wait()
            return f"did not end within {self._seconds_max:g} s"
        finally:
            with self._lock:
                self._running.discard(process)
        return "was stopped" if self._stopped else ""


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def names() -> list[str]:
    return [path.stem.removeprefix("test_") for path in sorted(HARNESSES.glob("test_*.py"))]


def commit() -> str:
    """Says which tree was measured; one with changes of its own, the ledger apart, is no commit."""
    name = _git("rev-parse", "--short", "HEAD")
    ledger = f":(exclude){LEDGER.relative_to(ROOT)}"
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ledger)
    return f"{name}-dirty" if changes else name


def _git(*arguments: str) -> str:
    ended = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


def told(line: dict[str, Any]) -> str:
    """Says what broke, as "0 lost, 0 gaps"."""
    return ", ".join(f"{number} {what}" for what, number in line["violations"].items())


def remember(ended: Ended, about: dict[str, Any]) -> None:
    """Writes the lines of a harness that ran to its end into the ledger."""
    finished = [line for line in ended.lines if line["finished"]]
    LEDGER.parent.mkdir(exist_ok=True)
    with LEDGER.open("a") as ledger:
        for line in finished:
            ledger.write(json.dumps({**about, **line}) + "\n")


def add_rows(table: Table, ended: Ended, log: Path) -> None:
    if not ended.lines:
        table.add_row(ended.name, "", ended.fault or f"nothing was told: see {log}", "", "", "no")
    for line in ended.lines:
        verdict = "yes" if ended.passed and line["finished"] else "no"
        table.add_row(
            line["harness"], f"{line['times']:,}", told(line), str(line["seconds"]),
            str(line["seed"]), verdict,
        )  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the reliability harnesses.")
    parser.add_argument("--only", nargs="*", default=[], help="names of harnesses")
    parser.add_argument("--small", action="store_true", help="the numbers of make test")
    parser.add_argument("--lanes", type=int, default=1, help="how many run side by side")
    parser.add_argument("--hours-max", type=float, default=HOURS_MAX, help="for each harness")
    parser.add_argument("--log", type=Path, default=ROOT / "soak.log", help="what pytest says")
    given = parser.parse_args()
    if unknown := set(given.only) - set(names()):
        parser.error(f"no harness is called {', '.join(sorted(unknown))}; there are: {names()}")
    if given.lanes < 1:
        parser.error(f"--lanes must be at least 1, found {given.lanes}")
    return given


def main() -> None:
    given = arguments()
    machine = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cpus": os.cpu_count(),
    }
    about = {"date": datetime.now(UTC).date().isoformat(), "commit": commit(), "machine": machine}
    runner = Runner({} if given.small else {"GAPLESS_TIER": "full"}, given.hours_max * 3600)
    table = Table("harness", "times", "broke", "seconds", "seed", "passed")
    progress, wanted, began = Console(stderr=True), given.only or names(), time.monotonic()
    code = done = 0
    with ThreadPoolExecutor(given.lanes) as lanes:
        work = [lanes.submit(runner.run, name) for name in wanted]
        try:
            for future in as_completed(work):
                ended, done = future.result(), done + 1
                code = code if ended.passed else 1
                add_rows(table, ended, given.log)
                with given.log.open("a") as log:
                    log.write(f"== {ended.name} {ended.fault}\n{ended.output}\n")
                if not given.small:
                    remember(ended, about)
                verdict = "passed" if ended.passed else f"FAILED {ended.fault}"
                minutes = (time.monotonic() - began) / 60
                progress.print(
                    f"{done} of {len(wanted)}: {ended.name} {verdict}, {minutes:.0f} min"
                )
        except KeyboardInterrupt:
            # Once is enough: the rest is to end what was begun.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = 130
            runner.stop()
    Console().print(table)
    sys.exit(code)


if __name__ == "__main__":
    main()
