"""Runs every test of tests/scenarios many times in a row, and counts how often each passed.

Run by ``make soak-scenarios``; ``TIMES=10`` runs each 10 times instead of 100. The whole list is
run again and again, so that a test meets what the others left behind. Ends with 1 if any run of
any test did not pass.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).resolve().parent.parent / "tests" / "scenarios"


class Tally:
    """A pytest plugin that has every test run many times, and counts the outcomes of each."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.passed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    @pytest.hookimpl(trylast=True)  # after those that do not match were taken out
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Puts the whole list as often as it is to run."""
        if len(items) == 1:
            # It would keep the fixtures of a test that the same test comes after.
            raise pytest.UsageError(
                f"only {items[0].name} matches, and pytest cannot run one test twice in a row:"
                " let --only match a second one"
            )
        items[:] = items * self._times

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes what pytest says of each phase of each run."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed[report.nodeid] += 1
        elif report.when == "call" and report.passed:
            self.passed[report.nodeid] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs every scenario test many times.")
    parser.add_argument("--times", type=int, default=100, help="how often each is run")
    parser.add_argument("--only", default="", help="run only tests that match, as in pytest -k")
    arguments = parser.parse_args()
    tally = Tally(arguments.times)
    started = time.monotonic()
    pytest.main(
        [
            "-q",
            "--no-header",
            *(["-k", arguments.only] if arguments.only else []),
            str(SCENARIOS),
        ],
        plugins=[tally],
    )
    for name in sorted(tally.passed | tally.failed):
        test = name.rpartition("/")[2]
        mean_seconds = tally.seconds[name] / (tally.passed[name] + tally.failed[name])
        print(
            f"{tally.passed[name]:5} passed {tally.failed[name]:5} failed"
            f" {mean_seconds:7.2f} s  {test}"
        )
    runs, failures = tally.passed.total(), tally.failed.total()
    minutes = (time.monotonic() - started) / 60
    print(f"scenarios: {runs} passed, {failures} failed, in {minutes:.1f} minutes")
    sys.exit(1 if failures or not runs else 0)


if __name__ == "__main__":
    main()
