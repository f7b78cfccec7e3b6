"""The tests bite: bugs that break a promise are planted, and a named test notices each of them."""

from __future__ import annotations

import pytest

from tests.reliability.harness import Run, harness
from tests.reliability.planted_bugs import ALL
from tests.reliability.planted_bugs.planting import Edit, Misfit, PlantedBug, changed_sources
from tests.reliability.planted_bugs.trial import TRIAL_SECONDS_MAX, run_tests, try_bug

QUICK = [bug for bug in ALL if bug.quick]


def test_every_planted_bug_fits_the_sources_and_changes_them() -> None:
    assert len({bug.name for bug in ALL}) == len(ALL)
    for bug in ALL:
        changed_sources(bug)
        assert bug.killed_by, bug.name
        assert all(edit.old != edit.new for edit in bug.edits), bug.name


def test_a_bug_whose_old_text_is_gone_or_there_twice_is_refused() -> None:
    file = "service/gapless_server/writer/rounds.py"
    for old, times in (("no such text", 0), ("import", 2)):
        bug = PlantedBug("misfit", "G1", (Edit(file, old, "new"),), ("tests/test_docs.py",))
        with pytest.raises(Misfit, match="misfit") as caught:
            changed_sources(bug)
        assert (f"{times} times" in str(caught.value)) is (times == 0)


@pytest.mark.timeout(0)
def test_planted_bugs_are_all_killed_by_their_tests() -> None:
    with harness(
        "planted_bugs",
        small=8,
        full=len(ALL),
        promised=["survivors", "tests that fail without a bug", "trials without a verdict"],
    ) as run:
        bugs = list(ALL) if run.times >= len(ALL) else run.chance.sample(QUICK, run.times)
        _require_good_without_bugs(run, bugs)
        for bug in bugs:
            _try(run, bug)


def _require_good_without_bugs(run: Run, bugs: list[PlantedBug]) -> None:
    """A test that fails anyway would kill every bug."""
    tests = {test for bug in bugs for test in bug.killed_by}
    trial = run_tests(sorted(tests), seconds_max=TRIAL_SECONDS_MAX + 10 * len(tests))
    run.count("tests", len(tests))
    for test in sorted(tests - trial.passed):
        run.violation("tests that fail without a bug", f"{test}: {trial.fault}\n{trial.output}")


def _try(run: Run, bug: PlantedBug) -> None:
    trial = try_bug(bug)
    run.count("bugs")
    if trial.fault:
        run.violation("trials without a verdict", f"{bug.name}: {trial.fault}\n{trial.output}")
        return
    surviving = set(bug.killed_by) - trial.failed
    run.count("kills", len(trial.failed))
    if surviving:
        told = ", ".join(sorted(surviving))
        run.violation(
            "survivors", f"{bug.name} ({bug.promise}) is not noticed by {told}\n{trial.output}"
        )
