"""A process is killed at each write and each sync of a script, started again, and goes on.

The script has commands of all kinds, checkpoints, erasures, a backup, a restore, an export, an
import and stops in order. It is run once undisturbed, and every call that changes or syncs a file
of ours is written down; then once for each of them, killed right before it.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.reliability.harness import harness
from tests.reliability.kill_script import PARTS, Script
from tests.reliability.stories import PROMISED, Story, check
from tests.reliability.tracing import Point, injecting, needs_strace, points_of, recording

# Where the files lie that matter: those of the service, a backup, an export.
FILES = ("data", ".backup", "export.jsonl")

pytestmark = needs_strace


def undisturbed(directory: Path) -> tuple[Story, list[tuple[str, Point]]]:
    """Runs the script once; returns what became of it, and every point of it, by part."""
    directory.mkdir()
    traces = {part: directory / f"{part}.trace" for part in PARTS}
    with ExitStack() as stack:
        tracers = {part: stack.enter_context(recording(trace)) for part, trace in traces.items()}
        story = Script(directory, tracers).run()
        for tracer in tracers.values():
            tracer.end()
    points = [
        (part, point)
        for part, trace in traces.items()
        for name in FILES
        for point in points_of(trace, directory / name)
    ]
    return story, points


def killed_at(directory: Path, part: str, point: Point) -> Story:
    """Runs the script, and kills the process of one part right before a call."""
    directory.mkdir()
    with injecting(directory / "trace", point, "signal=KILL") as tracer:
        return Script(directory, {part: tracer}).run()


@pytest.mark.timeout(0)
def test_g1_to_g8_a_process_killed_at_any_write_or_sync_goes_on_as_if_it_had_not_been(
    tmp_path: Path,
) -> None:
    original = tmp_path / "undisturbed"
    expected, points = undisturbed(original)
    with harness("kill_points", small=20, full=len(points), promised=PROMISED) as run:
        run.count("points", len(points))
        check(run, "undisturbed", expected, expected, original / "data")
        chosen = points if run.times >= len(points) else run.chance.sample(points, run.times)
        for number, (part, point) in enumerate(chosen):
            directory = tmp_path / str(number)
            here = point._replace(path=str(directory / Path(point.path).relative_to(original)))
            where = f"{part}, before {here}"
            try:
                found = killed_at(directory, part, here)
            except (AssertionError, RuntimeError, TimeoutError) as error:
                run.violation("did_not_go_on", f"{where}: {error}")
                continue
            run.count("kills", found.kills)
            # How often a thread makes a call differs a little from run to run.
            run.count("not_reached", not found.kills)
            run.count("sent_again", found.repeated)
            check(run, where, expected, found, directory / "data")
            shutil.rmtree(directory)
