"""A harness that finds something fails, and its line says so, and which tree it was run on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.harness import harness

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import soak


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "report.jsonl"
    monkeypatch.setenv("GAPLESS_REPORT", str(path))
    for name in ("GAPLESS_TIER", "GAPLESS_SEED", "GAPLESS_TIMES"):
        monkeypatch.delenv(name, raising=False)
    return path


def test_a_harness_that_found_nothing_says_how_often_it_looked(report: Path) -> None:
    with harness("kills", small=3, full=500, promised=["lost", "gaps"]) as run:
        for _ in range(run.times):
            run.count("kills")

    line = json.loads(report.read_text())
    assert (line["harness"], line["tier"], line["times"]) == ("kills", "small", 3)
    assert line["violations"] == {"lost": 0, "gaps": 0}
    assert line["counts"] == {"kills": 3}
    assert line["finished"] is True


def test_a_harness_that_found_a_violation_fails_and_names_it(report: Path) -> None:
    with (
        pytest.raises(AssertionError, match="gaps: channel red jumps from 3 to 5"),
        harness("kills", small=1, full=1, promised=["lost", "gaps"]) as run,
    ):
        run.violation("gaps", "channel red jumps from 3 to 5")

    assert json.loads(report.read_text())["violations"] == {"lost": 0, "gaps": 1}


def test_a_harness_that_was_cut_short_does_not_say_that_it_finished(report: Path) -> None:
    with pytest.raises(OSError, match="no room"), harness("kills", small=1, full=1, promised=[]):
        raise OSError("no room")

    assert json.loads(report.read_text())["finished"] is False


def cut_short_after_a_violation() -> None:
    with harness("kills", small=1, full=1, promised=["gaps"]) as run:
        run.violation("gaps", "channel red jumps from 3 to 5")
        raise OSError("no room")


def test_a_harness_that_was_cut_short_tells_what_it_had_found(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="no room"):
        cut_short_after_a_violation()

    assert "gaps: channel red jumps from 3 to 5" in capsys.readouterr().out
    assert json.loads(report.read_text())["violations"] == {"gaps": 1}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, with a ledger, as the tree that is measured."""
    ledger = tmp_path / "reliability" / "ledger.jsonl"
    ledger.parent.mkdir()
    ledger.write_text("{}\n")
    (tmp_path / "code.py").write_text("one = 1\n")
    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak, "LEDGER", ledger)
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "one"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_growth_of_the_ledger_is_no_change_of_the_tree_that_is_measured(tree: Path) -> None:
    name = soak.commit()
    (tree / "reliability" / "ledger.jsonl").write_text("{}\n{}\n")

    assert soak.commit() == name
    assert not name.endswith("-dirty")


def test_a_tree_with_changes_of_its_own_is_named_so(tree: Path) -> None:
    name = soak.commit()
    (tree / "code.py").write_text("one = 2\n")

    assert soak.commit() == f"{name}-dirty"


def test_the_long_tier_runs_the_full_number_with_the_seed_that_is_given(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAPLESS_TIER", "full")
    monkeypatch.setenv("GAPLESS_SEED", "7")

    with harness("kills", small=1, full=500, promised=["lost"]) as run:
        first = run.chance.random()

    line = json.loads(report.read_text())
    assert (line["times"], line["seed"]) == (500, 7)
    with harness("kills", small=1, full=500, promised=["lost"]) as run:
        assert run.chance.random() == first
