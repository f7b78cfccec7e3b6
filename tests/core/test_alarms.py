"""Alarms: everything that has an end is looked at by then, and what has none is not kept."""

from __future__ import annotations

from gapless_server.core.alarms import Alarms, Thing
from gapless_server.core.state import UndoLog
from tests.core.batch_commands import batch
from tests.core.chat_commands import post
from tests.core.lock_commands import acquire, lock_of, release, token_of
from tests.core.story import Story

A_DAY = 86_400

# Kept beside as many as count.
DROPPED_MAX = 1000

ANN_S = Thing("locks", "ann's")
BOB_S = Thing("locks", "bob's")


def test_things_are_looked_at_in_the_order_of_their_ends() -> None:
    alarms = Alarms(UndoLog())
    alarms.set(BOB_S, 20)
    alarms.set(ANN_S, 10)

    assert alarms.next_us() == 10
    assert list(alarms.take_due(9)) == []
    assert list(alarms.take_due(20)) == [ANN_S, BOB_S]
    assert alarms.next_us() is None


def test_a_thing_is_looked_at_once_at_the_earliest_of_its_ends() -> None:
    alarms = Alarms(UndoLog())
    for uptime_us in (20, 10, 30):
        alarms.set(ANN_S, uptime_us)

    assert list(alarms.take_due(10)) == [ANN_S]
    assert list(alarms.take_due(30)) == []


def test_nothing_wakes_for_what_has_ended() -> None:
    alarms = Alarms(UndoLog())
    alarms.set(ANN_S, 10)
    alarms.set(BOB_S, 20)

    alarms.drop(ANN_S)

    assert alarms.next_us() == 20


def test_g6_one_thing_that_comes_and_goes_at_the_same_moment_does_not_add_up() -> None:
    alarms = Alarms(UndoLog())

    for _ in range(3 * DROPPED_MAX):
        alarms.set(ANN_S, 10)
        alarms.drop(ANN_S)
        assert len(alarms) <= DROPPED_MAX
    alarms.set(ANN_S, 10)

    assert list(alarms.take_due(10)) == [ANN_S]
    assert list(alarms.take_due(10)) == []


def test_g6_batches_that_are_refused_leave_no_alarms() -> None:
    story = Story()

    for first in range(0, 100, 10):
        acquired = [acquire(f"{number}", ttl_seconds=A_DAY) for number in range(first, first + 10)]
        story.then_refused(batch(*acquired, post()), "CHANNEL_NOT_FOUND")

    assert len(story.state.alarms) == 0


def test_g6_locks_that_are_released_early_leave_few_alarms() -> None:
    story = Story().given(acquire("kept", ttl_seconds=A_DAY))

    for number in range(2 * DROPPED_MAX):
        token = token_of(story, acquire(f"{number}", ttl_seconds=A_DAY))
        story.given(release(token, f"{number}"))

    assert len(story.state.alarms) <= 2 + DROPPED_MAX
    assert lock_of(story.idle(A_DAY), "kept") is None
    assert len(story.state.alarms) == 0


def test_a_lock_whose_release_is_taken_back_still_ends_in_time() -> None:
    story = Story()
    token = token_of(story, acquire(ttl_seconds=10))

    story.then_refused(batch(release(token), post()), "CHANNEL_NOT_FOUND")

    assert lock_of(story) is not None
    assert lock_of(story.idle(10)) is None
    story.assert_sound()


def test_a_lock_acquired_in_a_batch_ends_in_time() -> None:
    story = Story().given(batch(acquire(ttl_seconds=10)))

    assert lock_of(story.idle(8)) is not None
    assert lock_of(story.idle(1)) is None
