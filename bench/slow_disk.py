"""P13: P1's load on a disk whose fsync takes 1 ms and 5 ms longer, the same for every system."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.recount import recount
from bench.run import Measured, OnNews, Servers, run_cells
from bench.systems import BARE, HOT, REDIS, SDK, Cell, Shape, postgres
from bench.targets import Figures, Target, ratio_target

# By the delay in milliseconds, what is asked against Redis. 80 x PostgreSQL is asked at both.
ASKED_OF_REDIS = {1: 1.6, 5: 2.4}
ASKED_OF_POSTGRES = 80.0
LOAD = Shape(1, 128, HOT)
# The bare stream that commits on its loop would stand still for all of a sync.
SYSTEMS = (SDK, REDIS, postgres(4), postgres(16), BARE)


def loads(rounds: int) -> int:
    """How many loads there are, for the progress bar."""
    return rounds * len(ASKED_OF_REDIS) * len(SYSTEMS)


def run(
    directory: Path, rounds: int, seconds: float, on_news: OnNews
) -> tuple[dict[str, Any], list[Target], list[dict[str, Any]]]:
    """Returns every figure, the rows of P13, and what our logs gave when they were recounted."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {"left_out": "no C compiler: apt-get install gcc"}, [], []
    library = directory / "slow_fsync.so"
    source = Path(__file__).with_name("slow_fsync.c")
    build = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True)
    library.chmod(0o755)
    figures: dict[str, Any] = {}
    targets: list[Target] = []
    recounts: list[dict[str, Any]] = []
    for delay_ms, asked_of_redis in ASKED_OF_REDIS.items():
        measured, recounted = _measure(directory, library, delay_ms, rounds, seconds, on_news)
        recounts.append(recounted)
        figures[f"{delay_ms} ms"] = [one.as_json() for one in measured]
        targets += _targets(measured, delay_ms, asked_of_redis)
    return figures, targets, recounts


def _measure(
    directory: Path, library: Path, delay_ms: int, rounds: int, seconds: float, on_news: OnNews
) -> tuple[list[Measured], dict[str, Any]]:
    environment = {"LD_PRELOAD": str(library), "BENCH_FSYNC_DELAY_US": str(delay_ms * 1000)}
    place = directory / f"slow-{delay_ms}"
    place.mkdir(mode=0o755)
    cells = [Cell(system, LOAD) for system in SYSTEMS]
    with Servers(place, environment) as servers:
        measured = run_cells(
            servers, cells, rounds, seconds, lambda what: on_news(f"fsync + {delay_ms} ms, {what}")
        )
        return measured, recount(servers.own_data())


def _targets(measured: list[Measured], delay_ms: int, asked_of_redis: float) -> list[Target]:
    figures = Figures(measured)
    ours = figures.exactly("gapless, SDK", LOAD)
    asked = {"Redis": asked_of_redis, "PostgreSQL": ASKED_OF_POSTGRES}
    return [
        ratio_target(
            "P13",
            f"{name}, fsync + {delay_ms} ms",
            factor,
            ours,
            figures.best(name, LOAD),
            figures.bare(LOAD),
        )
        for name, factor in asked.items()
    ]
