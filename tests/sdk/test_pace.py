"""Halves pay while the client's own work takes much of the time, and never because it rests."""

from __future__ import annotations

import pytest

from gapless._pace import Pace

FRAMES = 100


class Stream:
    """A stream of frames with clocks that the test moves."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._now = 1_000.0
        self._thread_time = 10.0

    def turns(self, *, own: float, service: float, rest: float = 0.0, count: int = FRAMES) -> bool:
        """Whether halves pay after so many turns of an answer, own work, and a frame."""
        for _ in range(count):
            self.pace.answered(self._thread_time)
            self._thread_time += own
            self._now += own + rest
            self.pace.sent(self._now, self._thread_time)
            self._now += service
        return self.pace.halves_pay


@pytest.mark.parametrize(
    ("own_ms", "service_ms", "pays"),
    [
        (1.0, 1.0, True),
        (1.0, 2.0, True),
        (1.0, 3.0, False),
        (1.0, 6.0, False),
        (0.1, 1.0, False),
        (8.0, 6.0, True),
    ],
)
def test_halves_pay_where_the_own_work_is_much_of_a_turn(
    own_ms: float, service_ms: float, pays: bool
) -> None:
    assert Stream().turns(own=own_ms / 1000, service=service_ms / 1000) is pays


def test_nothing_is_halved_before_it_is_known_to_pay() -> None:
    stream = Stream()

    assert stream.pace.halves_pay is False
    assert stream.turns(own=0.001, service=0.001, count=8) is False


def test_callers_who_rest_do_not_make_the_client_look_busy() -> None:
    assert Stream().turns(own=0.001, service=0.005, rest=0.050) is False


def test_a_pause_is_forgotten_within_a_second_of_work() -> None:
    stream = Stream()
    stream.turns(own=0.001, service=0.001)
    stream.turns(own=0.001, service=3600.0, count=1)

    assert stream.turns(own=0.001, service=0.001, count=50) is True


def test_a_disk_that_becomes_slow_ends_the_halves() -> None:
    stream = Stream()
    assert stream.turns(own=0.001, service=0.001) is True

    assert stream.turns(own=0.001, service=0.006) is False


def test_what_has_begun_to_pay_goes_on_until_it_clearly_does_not() -> None:
    stream = Stream()
    between = {"own": 0.001, "service": 0.0028}  # a share of 0.26

    assert stream.turns(**between) is False
    stream.turns(own=0.001, service=0.001)
    assert stream.turns(**between) is True


def test_several_answers_before_a_frame_are_one_turn() -> None:
    pace = Pace()
    for turn in range(FRAMES):
        pace.answered(thread_time=turn * 1.0)
        pace.answered(thread_time=turn * 1.0 + 0.009)
        pace.sent(now=turn * 0.020, thread_time=turn * 1.0 + 0.010)

    assert pace.halves_pay is True
