"""Runs tests on sources with a planted bug, or on those without, and says which of them failed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.reliability.planted_bugs.planting import ROOT, SOURCE_ROOTS, PlantedBug, plant

# Far more than any test that notices a bug takes, also on a busy machine.
TRIAL_SECONDS_MAX = 180
_ENDING = "tests.reliability.planted_bugs.ending"
# How a run of pytest may end: all passed, or some failed. Anything else is no verdict.
_PYTEST_VERDICTS = (0, 1)


class Trial(NamedTuple):
    """What came of running some tests."""

    passed: frozenset[str]
    failed: frozenset[str]
    # What pytest said, for whoever has to find out why; why there is no verdict, if there is none.
    output: str
    fault: str = ""


def try_bug(bug: PlantedBug) -> Trial:
    """Runs the tests of a bug on sources that have it."""
    with tempfile.TemporaryDirectory() as folder:
        plant(bug, Path(folder))
        return run_tests(bug.killed_by, Path(folder))


def run_tests(
    tests: Sequence[str], sources: Path = ROOT, seconds_max: float = TRIAL_SECONDS_MAX
) -> Trial:
    """Runs tests of this repository on the sources in a folder."""
    nothing: frozenset[str] = frozenset()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", _ENDING]
        try:
            ended = subprocess.run(
                [*command, f"--junitxml={report}", *dict.fromkeys(tests)],
                cwd=ROOT, env=_environment(sources), timeout=seconds_max,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Trial(nothing, nothing, "", f"it did not end within {seconds_max} s")
        if ended.returncode not in _PYTEST_VERDICTS or not report.exists():
            return Trial(nothing, nothing, ended.stdout, f"pytest ended with {ended.returncode}")
        passed, failed = _read(report, tests)
    return Trial(passed, failed, ended.stdout)


def _environment(sources: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GAPLESS_", "PYTEST_"))
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(str(sources / name) for name in SOURCE_ROOTS)}


def _read(report: Path, tests: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Returns which tests passed, in each of their cases, and which failed, in at least one.

    A test whose fixtures failed did neither.
    """
    passed: set[str] = set()
    failed: set[str] = set()
    broken: set[str] = set()
    of_case = {_case(test): test for test in tests}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        test = of_case[f"{case.attrib['classname']}.{name}"]
        if case.find("failure") is not None:
            failed.add(test)
        elif case.find("error") is not None or case.find("skipped") is not None:
            broken.add(test)
        else:
            passed.add(test)
    return frozenset(passed - failed - broken), frozenset(failed)


def _case(test: str) -> str:
    """Returns how the report of pytest names a test."""
    file, *names = test.split("::")
    return ".".join([*Path(file).with_suffix("").parts, *names])
