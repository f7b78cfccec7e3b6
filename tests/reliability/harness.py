"""What every harness has in common: its size, its seed, its counts, and the line it prints.

A harness does one thing many times and counts what broke. How many times depends on the tier:
``GAPLESS_TIER=full`` is what ``make soak`` runs, anything else is what ``make test`` runs. To see a
failure again, give its seed as ``GAPLESS_SEED`` and, if need be, a number as ``GAPLESS_TIMES``.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIER_VARIABLE = "GAPLESS_TIER"
SEED_VARIABLE = "GAPLESS_SEED"
TIMES_VARIABLE = "GAPLESS_TIMES"
# A file that gets the line of every harness as well: tools/soak.py reads it.
REPORT_VARIABLE = "GAPLESS_REPORT"

# So many violations are told in words; the rest is counted.
DETAILS_MAX = 10


class Run:
    """One run of a harness.

    `times` says how often to do it; all chance must come from `chance`, or from `seed`.
    """

    def __init__(self, name: str, tier: str, times: int, seed: int, promised: Sequence[str]):
        self.name = name
        self.tier = tier
        self.times = times
        self.seed = seed
        self.chance = random.Random(seed)
        # What must not happen, by name, and how often it did.
        self.violations: Counter[str] = Counter(dict.fromkeys(promised, 0))
        # What did happen: commands sent, kills, answers given again.
        self.counts: Counter[str] = Counter()
        self.details: list[str] = []

    def count(self, what: str, number: int = 1) -> None:
        """Counts something that happened."""
        self.counts[what] += number

    def violation(self, what: str, detail: str, number: int = 1) -> None:
        """Counts something that must not happen; `detail` is told if it is among the first."""
        if what not in self.violations:
            raise LookupError(f"{self.name} has no violation called {what!r}")
        self.violations[what] += number
        if len(self.details) < DETAILS_MAX:
            self.details.append(f"{what}: {detail}")

    def line(self, seconds: float, *, finished: bool) -> dict[str, Any]:
        """Returns what is printed, as JSON, at the end."""
        return {
            "harness": self.name,
            "tier": self.tier,
            "seed": self.seed,
            "times": self.times,
            "finished": finished,
            "violations": dict(self.violations),
            "counts": dict(sorted(self.counts.items())),
            "seconds": round(seconds, 1),
        }


@contextmanager
def harness(name: str, *, small: int, full: int, promised: Sequence[str]) -> Iterator[Run]:
    """Runs a harness at the size of the tier, prints its line, and fails if anything broke.

    `promised` names what must not happen. A number that is 0 is printed too: 0 lost, 0 gaps.
    """
    tier = "full" if os.environ.get(TIER_VARIABLE) == "full" else "small"
    times = int(os.environ.get(TIMES_VARIABLE) or (full if tier == "full" else small))
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(10**9))
    run = Run(name, tier, times, seed, promised)
    started = time.monotonic()
    finished = False
    try:
        yield run
        finished = True
    finally:
        line = json.dumps(run.line(time.monotonic() - started, finished=finished))
        print(line, flush=True)  # noqa: T201 - what a harness is asked for
        if not finished:
            # The assertion below, which tells them, is not reached.
            print(*run.details, sep="\n", flush=True)  # noqa: T201 - why it may have ended
        if report := os.environ.get(REPORT_VARIABLE):
            with Path(report).open("a") as file:
                file.write(line + "\n")
    assert not +run.violations, "\n".join([f"{line}", *run.details])
