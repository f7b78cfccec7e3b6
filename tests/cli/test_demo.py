"""`gapless demo`: the main job end to end, with a kill in the middle of it."""

from __future__ import annotations

import json
from pathlib import Path

from gapless_server.cli.demo import bundled_sample
from tests.cli.commands import run
from tests.slack.lines import message, report

EVENTS = 600


def _part_of_the_sample(path: Path) -> Path:
    lines = bundled_sample().read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:EVENTS]), encoding="utf-8")
    return path


def test_c4_the_demo_kills_the_service_half_way_and_every_promise_holds(tmp_path: Path) -> None:
    events = _part_of_the_sample(tmp_path / "events.jsonl")

    shown = run("demo", "--events", events, "--processes", 3, "--json")

    assert shown.exit_code == 0, shown.output
    result = json.loads(shown.stdout)
    assert (result["events"], result["breaches"], result["refusals"]) == (EVENTS, [], [])
    assert result["killed_after_commands"] >= result["commands_sent"] / 2
    assert result["recount"]["breaches"] == []
    # Each command is one entry, however often it was sent.
    assert result["recount"]["entries"] == result["commands_sent"]
    assert result["commands_replayed"] <= result["commands_retried"]


def test_a_promise_that_is_broken_ends_the_demo_with_3(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    lines = (
        message("1.1"),
        message("1.2", thread_ts="1.1"),
        report("1.3", "1.1", ["1.2"], count=2),
    )
    events.write_text("\n".join(lines))

    shown = run("demo", "--events", events, "--processes", 1)

    assert shown.exit_code == 3
    assert "Slack last reported 2 replies, the service counts 1" in shown.stdout
