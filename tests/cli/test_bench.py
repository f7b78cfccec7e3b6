"""`gapless bench` checks every answer of a running service while it measures."""

from __future__ import annotations

import json

import pytest

from gapless.testing import RunningServer
from tests.cli.commands import run, run_process


@pytest.mark.parametrize("through", ["sdk", "unary", "frames"])
def test_g1_g3_a_load_through_each_way_finds_every_sequence_once(
    gapless_server: RunningServer, through: str
) -> None:
    options = ("--through", through, "--in-flight", "4", "--channels", "3", "--frame", "10")

    shown = run_process(
        "bench", "--address", gapless_server.address, *options, "--seconds", "0.2", "--json"
    )

    assert shown.returncode == 0, shown.stderr
    measured = json.loads(shown.stdout)
    assert measured["posts"] > 0
    assert measured["repeats_checked"] > 0
    assert measured["breaches"] == []


def test_a_time_that_is_no_number_is_refused() -> None:
    refused = run("bench", "--address", "127.0.0.1:1", "--seconds", "nan")

    assert (refused.exit_code, "'nan' is no number" in refused.stderr) == (2, True)


def test_without_a_service_it_says_how_to_start_one() -> None:
    shown = run_process("bench", "--address", "127.0.0.1:1", "--timeout", "1")

    assert shown.returncode == 1
    assert "gapless serve" in shown.stderr
