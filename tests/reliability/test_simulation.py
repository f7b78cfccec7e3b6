"""Clients and service on a simulated machine: whatever goes wrong, every promise holds.

`simulation/` says what goes wrong; here it does so for many seeds. A seed decides everything, so
``GAPLESS_SEED=n GAPLESS_TIMES=1`` shows a failure again, with the end of its trace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import pytest

from tests.reliability.harness import Run, harness
from tests.reliability.simulation.checks import PROMISED, TRACE
from tests.reliability.simulation.many import live
from tests.reliability.simulation.world import Lived

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = "tests.reliability.simulation"

# In the full tier, so many worlds are one task of a process.
CHUNK: Final = 50


def _lived(seeds: Sequence[int]) -> list[Lived]:
    """Runs in a process of its own; the trace of a world in order is of no interest."""
    return [lived if lived.broken else lived._replace(trace_tail="") for lived in live(seeds)]


def _all_lived(run: Run) -> Iterator[Lived]:
    seeds = range(run.seed, run.seed + run.times)
    if run.tier != "full":
        yield from live(seeds)
        return
    chunks = [seeds[first : first + CHUNK] for first in range(0, run.times, CHUNK)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        for chunk in processes.map(_lived, chunks):
            yield from chunk


# As long as it takes; a world that hangs ends by its own bound on simulated time.
@pytest.mark.timeout(0)
def test_every_promise_holds_whatever_goes_wrong() -> None:
    """Row "simulation": all promises, then liveness."""
    with harness("simulation", small=500, full=50_000, promised=PROMISED) as run:
        for lived in _all_lived(run):
            run.counts.update(lived.counts)
            for what, detail in lived.broken:
                run.violation(what, f"GAPLESS_SEED={lived.seed} GAPLESS_TIMES=1: {detail}")
            if lived.broken:
                run.details.append(f"the end of seed {lived.seed}:\n{lived.trace_tail}")


@pytest.mark.timeout(0)
def test_g10_the_same_seed_gives_the_same_trace_under_another_hash_seed() -> None:
    with harness("simulation traces", small=6, full=200, promised=[TRACE]) as run:
        seeds = [str(seed) for seed in range(run.seed, run.seed + run.times)]
        traces = [_traces(seeds, hash_seed) for hash_seed in ("1", "2")]
        for one, other in zip(*traces, strict=True):
            run.count("traces compared")
            if one != other:
                run.violation(TRACE, f"{one!r} and {other!r}")


def _traces(seeds: Sequence[str], hash_seed: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-m", PACKAGE, *seeds],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()
