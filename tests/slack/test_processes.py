"""A plan is divided so that a channel stays whole, and a process that ends is not waited for."""

from __future__ import annotations

import pytest

from gapless_server.slack.plan import Plan, make_plan
from gapless_server.slack.processes import ReplayFailed, divide, replay_in_processes
from tests.slack.lines import events, message

NOBODY_LISTENS = "127.0.0.1:1"


def _plan(*sizes: int) -> Plan:
    lines = [
        message(f"1.{number}", channel=f"C{channel}")
        for channel, size in enumerate(sizes)
        for number in range(size)
    ]
    return make_plan(events(*lines))


def test_each_channel_goes_to_one_process_and_the_processes_are_even() -> None:
    plan = _plan(9, 4, 3, 1)

    parts = divide(plan, 2)

    assert [sorted(part) for part in parts] == [["C0"], ["C1", "C2", "C3"]]
    assert {
        channel: commands for part in parts for channel, commands in part.items()
    } == plan.commands


def test_there_are_no_more_processes_than_channels() -> None:
    assert len(divide(_plan(1, 1), 8)) == 2


def test_a_service_that_does_not_answer_is_told_and_not_waited_for() -> None:
    with pytest.raises(ReplayFailed, match=r"127\.0\.0\.1:1 can not be reached"):
        replay_in_processes(_plan(1), NOBODY_LISTENS, "default", 1)
