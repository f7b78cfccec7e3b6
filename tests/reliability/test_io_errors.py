"""The disk fails, is slow or full, or the system gives no more of it: honest, and back again.

Each time the script of all kinds is played against a service to which one thing happens: a call
fails with EIO or ENOSPC, once or for good; a sync takes long; the disk is full; files may not grow;
no more files can be opened. What came of it must be what comes of a run without any fault.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.disk_faults import (
    Fault,
    FewHandles,
    FullDisk,
    SmallFiles,
    TracedFault,
    small_disk,
)
from tests.reliability.fault_script import FaultScript
from tests.reliability.harness import Run, harness
from tests.reliability.stories import PROMISED, Story, check
from tests.reliability.tracing import (
    SYNCING_CALLS,
    Point,
    injecting,
    needs_strace,
    points_of,
    recording,
)

HONEST = ("definite_failure", "ended_serving", "reads_refused", "ended_needlessly")
# What a service waits for, and tells its callers meanwhile.
PASSING = ("slow_sync", "full_disk")
KINDS = (
    "EIO", "EIO", "EIO", "ENOSPC", "ENOSPC", "slow_sync", "full_disk", "full_disk", "small_files",
    "few_handles",
)  # fmt: skip
SLOW_SYNC_MILLISECONDS = {"small": (200, 500), "full": (200, 500, 1_000, 3_000, 30_000)}
# A disk that is small enough to be filled is mounted.
KINDS_WITHOUT_ROOT = tuple(kind for kind in KINDS if kind != "full_disk")
# A call cannot fail in these ways, or its failure is nothing to us.
HARMLESS = ("mkdir", "unlink")

pytestmark = needs_strace


def undisturbed(directory: Path) -> tuple[Story, list[Point]]:
    directory.mkdir()
    trace = directory / "trace"
    with recording(trace) as tracer:
        story = FaultScript(directory, directory / "data", TracedFault(tracer), unexpected).run()
    points = points_of(trace, directory / "data")
    return story, [point for point in points if point.call not in HARMLESS]


def unexpected(what: str, detail: str) -> None:
    raise AssertionError(f"{what} without a fault: {detail}")


@contextmanager
def some_fault(
    run: Run, kind: str, directory: Path, points: list[Point]
) -> Iterator[tuple[Fault, Path, str]]:
    """Gives a fault, where the data is to lie, and what is wrong in words."""
    data, chance = directory / "data", run.chance
    if kind == "full_disk":
        with small_disk(directory / "disk") as disk:
            yield FullDisk(disk, chance), disk / "data", kind
        return
    if kind in ("small_files", "few_handles"):
        yield SmallFiles(chance) if kind == "small_files" else FewHandles(chance), data, kind
        return
    what = f"error={kind}"
    if kind == "slow_sync":
        milliseconds = chance.choice(SLOW_SYNC_MILLISECONDS[run.tier])
        what = f"delay_enter={milliseconds * 1000}"
        points = [point for point in points if point.call in SYNCING_CALLS]
    point = chance.choice(points)
    for_good = kind != "slow_sync" and chance.random() < 0.5
    with injecting(directory / "trace", point, what, for_good=for_good) as tracer:
        yield TracedFault(tracer), data, f"{what} at {point}{' and from then on' * for_good}"


def play(run: Run, kind: str, directory: Path, expected: Story, points: list[Point]) -> None:
    directory.mkdir()
    with some_fault(run, kind, directory, points) as (fault, data, where):

        def told(what: str, detail: str) -> None:
            run.violation(what, f"{where}: {detail}")

        script = FaultScript(directory, data, fault, told)
        try:
            story = script.run()
        except (AssertionError, RuntimeError, TimeoutError) as error:
            run.violation("did_not_go_on", f"{where}: {error}")
            return
        run.count(kind)
        if kind in PASSING and script.counts["ended"]:
            run.violation("ended_needlessly", f"{where}: {script.ends}")
        run.counts.update(script.counts)
        check(run, where, expected, story, data)


@pytest.mark.timeout(0)
def test_g8_whatever_the_disk_does_the_service_is_honest_and_comes_back(tmp_path: Path) -> None:
    original = tmp_path / "undisturbed"
    expected, points = undisturbed(original)
    kinds = KINDS if os.geteuid() == 0 else KINDS_WITHOUT_ROOT
    with harness("io_errors", small=10, full=200, promised=(*PROMISED, *HONEST)) as run:
        for number in range(run.times):
            directory = tmp_path / str(number)
            here = [
                point._replace(path=str(directory / Path(point.path).relative_to(original)))
                for point in points
            ]
            play(run, kinds[number % len(kinds)], directory, expected, here)
            shutil.rmtree(directory)
