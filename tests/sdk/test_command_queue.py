"""Answers and breaks find the right callers, who learn whether their command was applied."""

from __future__ import annotations

import pytest

from gapless import errors
from gapless.v1.channels_pb2 import ArchiveChannelResponse
from gapless.v1.commands_pb2 import (
    CommandError,
    CommandResult,
    PipelineResponse,
)
from tests.sdk.queued import LOST, answers, caller, names, pending, queue_of, tell


def test_answers_belong_to_the_oldest_frame() -> None:
    first, second, third = pending("1"), pending("2"), pending("3")
    queue = queue_of(first, second)
    queue.next_frame()
    queue.add(third)
    queue.next_frame()

    queue.answer(answers(11, 12))

    assert [caller(first).result.sequence, caller(second).result.sequence] == [11, 12]
    assert not caller(third).done()
    queue.answer(answers(13))
    assert caller(third).result.sequence == 13
    assert queue.is_empty()


@pytest.mark.parametrize("sequences", [(), (1,), (1, 2, 3)])
def test_a_response_of_another_length_is_a_fault(sequences: tuple[int, ...]) -> None:
    queue = queue_of(pending("1"), pending("2"))
    queue.next_frame()

    with pytest.raises(errors.InternalError, match=f"{len(sequences)} commands where 2"):
        queue.answer(answers(*sequences))


def test_an_answer_of_another_kind_is_a_fault_with_an_open_outcome() -> None:
    command = pending("1")
    queue = queue_of(command)
    queue.next_frame()

    other = CommandResult(archive_channel=ArchiveChannelResponse())
    tell(queue.answer(PipelineResponse(results=[other])))

    error = caller(command).error
    assert isinstance(error, errors.InternalError)
    assert (error.request_id, error.outcome_unknown) == ("1", True)


def test_a_refusal_is_for_its_command_alone() -> None:
    good, bad = pending("good"), pending("bad")
    queue = queue_of(bad, good)
    queue.next_frame()
    refused = CommandResult(
        error=CommandError(code=5, reason="CHANNEL_NOT_FOUND", message="channel x does not exist")
    )

    tell(queue.answer(PipelineResponse(results=[refused, answers(1).results[0]])))

    error = caller(bad).error
    assert isinstance(error, errors.ChannelNotFound)
    assert (error.request_id, error.outcome_unknown) == ("bad", False)
    assert caller(good).result.sequence == 1


def test_after_a_break_all_goes_again_in_order_and_in_the_same_bytes() -> None:
    # Given two frames under way and a command that waits
    queue = queue_of(pending("1"), pending("2"))
    sent = queue.next_frame()
    queue.add(pending("3"))
    sent_too = queue.next_frame()
    queue.add(pending("4"))

    # When the stream breaks
    queue.stream_broke(LOST, now=0.0)

    # Then one frame has them all
    again = queue.next_frame()
    assert names(again) == ["1", "2", "3", "4"]
    assert sent is not None
    assert sent_too is not None
    assert again is not None
    assert again.startswith(sent + sent_too)


def test_after_a_break_only_what_was_under_way_has_an_open_outcome() -> None:
    under_way, waiting = pending("1"), pending("2")
    queue = queue_of(under_way)
    queue.next_frame()
    queue.add(waiting)

    queue.stream_broke(LOST, now=0.0)
    queue.fail_all(errors.UnavailableError("given up"))

    for command, is_open in ((under_way, True), (waiting, False)):
        error = caller(command).error
        assert error is not None
        assert error.outcome_unknown is is_open


def test_attempts_are_counted_for_what_was_under_way() -> None:
    last, more = pending("last", attempts_max=1), pending("more", attempts_max=2)
    waiting = pending("waiting", attempts_max=1)
    queue = queue_of(last, more)
    queue.next_frame()
    queue.add(waiting)

    queue.stream_broke(LOST, now=0.0)

    error = caller(last).error
    assert isinstance(error, errors.UnavailableError)
    assert (error.request_id, error.outcome_unknown) == ("last", True)
    assert names(queue.next_frame()) == ["more", "waiting"]


def test_a_service_that_is_not_reached_is_an_attempt_of_all_that_waits() -> None:
    once, twice = pending("once", attempts_max=1), pending("twice", attempts_max=2)
    queue = queue_of(once, twice)

    queue.stream_broke(LOST, now=0.0)

    error = caller(once).error
    assert isinstance(error, errors.UnavailableError)
    assert error.outcome_unknown is False
    assert names(queue.next_frame()) == ["twice"]


def test_g5_a_stream_that_breaks_for_good_fails_only_what_was_under_way() -> None:
    under_way, waiting = pending("1"), pending("2", attempts_max=1)
    queue = queue_of(under_way)
    queue.next_frame()
    queue.add(waiting)

    queue.stream_broke(errors.InternalError("a frame was not answered"), now=0.0)

    error = caller(under_way).error
    assert isinstance(error, errors.InternalError)
    assert error.outcome_unknown is True
    # It may have been something about that frame.
    assert names(queue.next_frame()) == ["2"]


def test_a_stream_that_is_refused_for_good_fails_everything() -> None:
    under_way, waiting = pending("1"), pending("2")
    queue = queue_of(under_way)
    queue.next_frame()
    queue.add(waiting)

    # When the next stream is refused as well, before anything was sent on it
    refused = errors.InvalidField("gapless-namespace: is not a name")
    queue.stream_broke(refused, now=0.0)
    queue.stream_broke(refused, now=0.0)

    assert queue.is_empty()
    for command in (under_way, waiting):
        error = caller(command).error
        assert isinstance(error, errors.InvalidField)
        assert error.outcome_unknown is False


def test_time_over_while_under_way_leaves_the_outcome_open() -> None:
    late, early = pending("late", deadline=10.0), pending("early", deadline=5.0)
    queue = queue_of(late, early)
    queue.next_frame()

    next_deadline = queue.expire(now=5.0)

    error = caller(early).error
    assert isinstance(error, errors.DeadlineExceededError)
    assert (error.request_id, error.outcome_unknown) == ("early", True)
    assert next_deadline == 10.0
    # Its place in the frame stays, so that the other gets its own answer.
    queue.answer(answers(1, 2))
    assert caller(late).result.sequence == 1


def test_time_over_before_it_was_sent_is_a_known_outcome() -> None:
    command = pending("1", deadline=5.0)
    queue = queue_of(command)

    assert queue.expire(now=5.0) is None

    error = caller(command).error
    assert isinstance(error, errors.DeadlineExceededError)
    assert error.outcome_unknown is False
    assert queue.next_frame() is None
    assert queue.has_room()


def test_time_over_between_attempts_raises_what_the_last_one_led_to() -> None:
    command = pending("1", deadline=5.0)
    queue = queue_of(command)
    queue.next_frame()
    queue.stream_broke(LOST, now=1.0)

    queue.expire(now=5.0)

    error = caller(command).error
    assert isinstance(error, errors.UnavailableError)
    assert error.outcome_unknown is True


def test_a_command_whose_time_is_over_is_not_sent_again() -> None:
    expired, alive = pending("expired", deadline=5.0), pending("alive", deadline=9.0)
    queue = queue_of(expired, alive)
    queue.next_frame()
    queue.expire(now=5.0)

    queue.stream_broke(LOST, now=6.0)

    assert names(queue.next_frame()) == ["alive"]
