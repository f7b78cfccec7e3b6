"""Commands leave in frames, in order, within limits."""

from __future__ import annotations

import pytest

from gapless._command_queue import (
    FRAME_BYTES_MAX,
    FRAME_COMMANDS_MAX,
    FRAMES_IN_FLIGHT_MAX,
    HALVED_COMMANDS_MIN,
    PAYING_COMMANDS_MIN,
    CommandQueue,
)
from gapless._commands import CommandKind
from gapless.v1.channels_pb2 import ArchiveChannelResponse
from gapless.v1.commands_pb2 import (
    Command,
    PipelineRequest,
)
from gapless.v1.messages_pb2 import PostMessageRequest, PostMessageResponse
from tests.sdk.queued import LOST, NEVER, POST, answers, names, pending, queue_of


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


def test_fewer_leave_in_halves_only_where_that_pays() -> None:
    few = [pending(str(index)) for index in range(PAYING_COMMANDS_MIN - 1)]
    more = [pending(str(index)) for index in range(PAYING_COMMANDS_MIN)]

    assert len(names(queue_of(*few).next_frame(halves_pay=True))) == len(few)
    assert len(names(queue_of(*more).next_frame(halves_pay=False))) == len(more)
    assert len(names(queue_of(*more).next_frame(halves_pay=True))) == len(more) // 2


def test_halves_that_do_not_pay_any_more_become_whole() -> None:
    # Given two halves, the first of which is answered
    half = PAYING_COMMANDS_MIN // 2
    queue = queue_of(*(pending(str(index)) for index in range(2 * half)))
    first = names(queue.next_frame(halves_pay=True))
    second = names(queue.next_frame(halves_pay=True))
    queue.answer(answers(*range(half)))
    for name in first:
        queue.add(pending(name))

    # When halves do not pay any more, then what has gathered waits for the other half, once
    assert queue.next_frame(halves_pay=False) is None
    queue.answer(answers(*range(half)))
    for name in second:
        queue.add(pending(name))
    assert names(queue.next_frame(halves_pay=False)) == first + second
    queue.add(pending("next"))
    assert names(queue.next_frame(halves_pay=False)) == ["next"]


def test_so_many_that_they_are_halved_anyway_wait_for_nothing() -> None:
    half = HALVED_COMMANDS_MIN // 2
    queue = queue_of(*(pending(str(index)) for index in range(2 * half)))
    first = names(queue.next_frame(halves_pay=True))
    queue.next_frame(halves_pay=True)
    queue.answer(answers(*range(half)))
    for name in first:
        queue.add(pending(name))

    assert names(queue.next_frame(halves_pay=False)) == first


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


@pytest.mark.parametrize(("commands_max", "bytes_max"), [(2, 2**30), (100, 1)])
def test_g7_whether_it_is_full_is_known_at_any_time(commands_max: int, bytes_max: int) -> None:
    queue = CommandQueue("127.0.0.1:1", commands_max=commands_max, bytes_max=bytes_max)
    expected = []

    def note() -> None:
        expected.append(not queue.has_room())
        assert queue.is_full is expected[-1]

    note()
    for deadline in (5.0, NEVER):
        queue.add(pending("1", deadline=deadline))
        note()
    queue.expire(now=5.0)
    note()
    queue.next_frame()
    note()
    queue.add(pending("2"))
    note()
    queue.answer(answers(1))
    note()
    queue.add(pending("3"))
    queue.next_frame()
    queue.stream_broke(LOST, now=0.0)
    note()
    queue.fail_all(LOST)
    note()
    # It was both, and ends empty.
    assert set(expected) == {True, False}
    assert expected[-1] is False
