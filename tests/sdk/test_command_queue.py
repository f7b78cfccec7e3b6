"""Commands leave in frames, in order, within limits; answers and breaks find the right callers."""

from __future__ import annotations

from typing import Any

import pytest

from gapless import GaplessError, errors
from gapless._command_queue import (
    FRAME_BYTES_MAX,
    FRAME_COMMANDS_MAX,
    FRAMES_IN_FLIGHT_MAX,
    HALVED_COMMANDS_MIN,
    CommandQueue,
    Refusal,
)
from gapless._commands import CommandKind, PendingCommand
from gapless.v1.channels_pb2 import ArchiveChannelResponse
from gapless.v1.commands_pb2 import (
    Command,
    CommandError,
    CommandResult,
    PipelineRequest,
    PipelineResponse,
)
from gapless.v1.messages_pb2 import PostMessageRequest, PostMessageResponse

POST = CommandKind("post_message", PostMessageResponse)
NEVER = float("inf")


class Caller:
    """Waits for the answer of one command, as a future would."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: GaplessError | None = None

    def done(self) -> bool:
        return self.result is not None or self.error is not None

    def set_result(self, result: Any, /) -> None:
        assert not self.done()
        self.result = result

    def set_exception(self, exception: GaplessError, /) -> None:
        assert not self.done()
        self.error = exception


def pending(
    name: str, *, size: int = 0, deadline: float = NEVER, attempts_max: int | None = None
) -> PendingCommand:
    request = PostMessageRequest(request_id=name)
    request.body.data = b"x" * size
    data = POST.element(request.SerializeToString())
    command = PendingCommand(POST.field, name, data, deadline, attempts_max)
    command.waiter = Caller()
    return command


def queue_of(*commands: PendingCommand, commands_max: int = 100_000) -> CommandQueue:
    queue = CommandQueue("127.0.0.1:1", commands_max=commands_max, bytes_max=2**30)
    for command in commands:
        queue.add(command)
    return queue


def names(frame: bytes | None) -> list[str]:
    assert frame is not None
    request = PipelineRequest.FromString(frame)
    return [command.post_message.request_id for command in request.commands]


def answers(*sequences: int) -> PipelineResponse:
    return PipelineResponse(
        results=[
            CommandResult(post_message=PostMessageResponse(sequence=sequence))
            for sequence in sequences
        ]
    )


def tell(refusals: list[Refusal]) -> None:
    """What a pipeline does with what is not to be sent again."""
    for command, error in refusals:
        command.waiter.set_exception(error)


def caller(command: PendingCommand) -> Caller:
    assert isinstance(command.waiter, Caller)
    return command.waiter


LOST = errors.UnavailableError("the connection broke")


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 4_000, 16_384, 65_536])
def test_a_frame_is_what_protobuf_would_write(size: int) -> None:
    requests = []
    for name in ("a", "b"):
        request = PostMessageRequest(request_id=name, attributes={"k": "v"})
        request.body.data = b"x" * size
        requests.append(request)
    expected = PipelineRequest(commands=[Command(post_message=request) for request in requests])

    written = b"".join(POST.element(request.SerializeToString()) for request in requests)

    assert PipelineRequest.FromString(written) == expected
    assert len(written) == expected.ByteSize()


def test_a_kind_of_command_must_be_in_the_contract() -> None:
    with pytest.raises(ValueError, match="no command 'post_massage'"):
        CommandKind("post_massage", PostMessageResponse)
    with pytest.raises(ValueError, match="not answered by ArchiveChannelResponse"):
        CommandKind("post_message", ArchiveChannelResponse)


def test_all_that_has_gathered_goes_into_one_frame_in_order() -> None:
    queue = queue_of(*(pending(str(index)) for index in range(100)))

    assert names(queue.next_frame()) == [str(index) for index in range(100)]
    assert queue.next_frame() is None


def test_a_frame_is_bounded_in_commands() -> None:
    queue = queue_of(*(pending(str(index)) for index in range(3 * FRAME_COMMANDS_MAX)))

    for frame in range(FRAMES_IN_FLIGHT_MAX):
        first = frame * FRAME_COMMANDS_MAX
        expected = [str(index) for index in range(first, first + FRAME_COMMANDS_MAX)]
        assert names(queue.next_frame()) == expected


def test_many_leave_in_two_halves_so_that_client_and_service_work_at_once() -> None:
    # Given as many callers as are halved, each of which goes on when it has an answer
    half = HALVED_COMMANDS_MIN // 2
    queue = queue_of(*(pending(str(index)) for index in range(2 * half)))

    first, second = names(queue.next_frame()), names(queue.next_frame())

    assert (first, second) == (
        [str(index) for index in range(half)],
        [str(index) for index in range(half, 2 * half)],
    )
    queue.answer(answers(*range(half)))
    for name in first:
        queue.add(pending(name))
    # Then halves it stays: one is under way, and the other leaves whole.
    assert names(queue.next_frame()) == first
    assert queue.next_frame() is None


def test_unequal_frames_become_halves() -> None:
    # Given one command under way, and all others waiting behind it
    queue = queue_of(pending("first"))
    queue.next_frame()
    for index in range(1, HALVED_COMMANDS_MIN):
        queue.add(pending(str(index)))

    assert len(names(queue.next_frame())) == HALVED_COMMANDS_MIN // 2
    queue.answer(answers(1))
    assert len(names(queue.next_frame())) == HALVED_COMMANDS_MIN // 2 - 1


def test_a_frame_is_bounded_in_bytes() -> None:
    size = FRAME_BYTES_MAX // 4
    queue = queue_of(*(pending(str(index), size=size) for index in range(5)))

    first, second = queue.next_frame(), queue.next_frame()

    # Three of a quarter fit, with their ids and headers; the fourth does not.
    assert (names(first), names(second)) == (["0", "1", "2"], ["3", "4"])
    assert first is not None
    assert len(first) <= FRAME_BYTES_MAX


def test_a_command_larger_than_a_frame_goes_alone() -> None:
    queue = queue_of(pending("large", size=FRAME_BYTES_MAX + 1), pending("small"))

    assert names(queue.next_frame()) == ["large"]
    assert names(queue.next_frame()) == ["small"]


def test_few_frames_are_under_way() -> None:
    # Given as many frames under way as may be
    queue = queue_of()
    for index in range(FRAMES_IN_FLIGHT_MAX):
        queue.add(pending(str(index)))
        assert queue.next_frame() is not None
    queue.add(pending("next"))

    # Then the next leaves when the oldest is answered
    assert queue.next_frame() is None
    queue.answer(answers(1))
    assert names(queue.next_frame()) == ["next"]


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


def test_a_stream_that_is_refused_for_good_fails_everything() -> None:
    under_way, waiting = pending("1"), pending("2")
    queue = queue_of(under_way)
    queue.next_frame()
    queue.add(waiting)

    queue.stream_broke(errors.InvalidField("gapless-namespace: is not a name"), now=0.0)

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


def test_g7_the_queue_has_no_room_beyond_its_limits() -> None:
    queue = queue_of(pending("1"), commands_max=2)
    assert queue.has_room()
    queue.next_frame()
    queue.add(pending("2"))

    # What is under way counts too.
    assert not queue.has_room()
    queue.answer(answers(1))
    assert queue.has_room()


def test_g7_the_queue_is_bounded_in_bytes_too() -> None:
    queue = CommandQueue("127.0.0.1:1", commands_max=100, bytes_max=1_000)
    queue.add(pending("1", size=999))

    assert not queue.has_room()
    queue.next_frame()
    assert not queue.has_room()
    queue.answer(answers(1))
    assert queue.has_room()
