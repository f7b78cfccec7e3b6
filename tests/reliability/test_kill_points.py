"""A process is killed at each write and each sync of a script, started again, and goes on.

The script has commands of all kinds, checkpoints, erasures, a backup, a restore, an export, an
import and stops in order. It is run once undisturbed, and every call that changes or syncs a file
of ours is written down. Then it is run again and again until a process was killed right before
each of these calls; in one run of the script every part of it may be killed once.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.reliability.harness import Run, harness
from tests.reliability.kill_script import PARTS, Script
from tests.reliability.stories import PROMISED, Story, check
from tests.reliability.tracing import Point, injecting, needs_strace, points_of, recording

# Where the files lie that matter: those of the service, a backup, an export.
FILES = ("data", ".backup", "export.jsonl")

pytestmark = needs_strace


def undisturbed(directory: Path) -> tuple[Story, dict[str, list[Point]]]:
    """Runs the script once; returns what became of it, and every point of it, by part."""
    directory.mkdir()
    traces = {part: directory / f"{part}.trace" for part in PARTS}
    with ExitStack() as stack:
        tracers = {part: stack.enter_context(recording(trace)) for part, trace in traces.items()}
        story = Script(directory, tracers).run()
        for tracer in tracers.values():
            tracer.end()
    points = {
        part: [point for name in FILES for point in points_of(trace, directory / name)]
        for part, trace in traces.items()
    }
    return story, points


def chosen(run: Run, points: dict[str, list[Point]]) -> list[dict[str, Point]]:
    """Returns what to kill in each run of the script: one point of each part, as far as they go.

    A kill in one part finds the others as it would without: each of them is recovered from.
    """
    everything = [(part, point) for part, listed in points.items() for point in listed]
    wanted = run.chance.sample(everything, min(run.times, len(everything)))
    waiting = {part: [point for of, point in wanted if of == part] for part in points}
    runs = []
    while any(waiting.values()):
        runs.append({part: listed.pop() for part, listed in waiting.items() if listed})
    return runs


def killed_at(directory: Path, points: dict[str, Point]) -> Story:
    """Runs the script, and kills the process of each of these parts right before a call."""
    directory.mkdir()
    with ExitStack() as stack:
        tracers = {
            part: stack.enter_context(injecting(directory / f"{part}.trace", point, "signal=KILL"))
            for part, point in points.items()
        }
        return Script(directory, tracers).run()


@pytest.mark.timeout(0)
def test_g1_to_g8_a_process_killed_at_any_write_or_sync_goes_on_as_if_it_had_not_been(
    tmp_path: Path,
) -> None:
    original = tmp_path / "undisturbed"
    expected, points = undisturbed(original)
    count = sum(map(len, points.values()))
    with harness("kill_points", small=20, full=count, promised=PROMISED) as run:
        run.count("points", count)
        check(run, "undisturbed", expected, expected, original / "data")
        for number, at in enumerate(chosen(run, points)):
            directory = tmp_path / str(number)
            where = "; ".join(f"{part} killed before {point}" for part, point in at.items())
            here = {part: moved(point, original, directory) for part, point in at.items()}
            try:
                found = killed_at(directory, here)
            except (AssertionError, RuntimeError, TimeoutError) as error:
                run.violation("did_not_go_on", f"{where}: {error}")
                continue
            run.count("kills", found.kills)
            # How often a thread makes a call differs a little from run to run.
            run.count("not_reached", len(at) - found.kills)
            run.count("sent_again", found.repeated)
            check(run, where, expected, found, directory / "data")
            shutil.rmtree(directory)


def moved(point: Point, before: Path, now: Path) -> Point:
    """Returns the same point of a run that lies elsewhere."""
    return point._replace(path=str(now / Path(point.path).relative_to(before)))
