"""A frame that is too large on its way, or its answer, fails only what is too large alone."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode

from gapless import errors
from gapless._commands import SENT_BYTES_MAX
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import FakeService
from tests.sdk.queued import answers, caller, names, pending, queue_of

# As gRPC says it, in either direction.
TOO_LARGE = errors.ResourceExhaustedError(
    "the call failed with RESOURCE_EXHAUSTED: SERVER: Received message larger than max (9 vs. 8)",
    code=StatusCode.RESOURCE_EXHAUSTED,
)


def frame_too_large(commands_max: str) -> errors.FrameTooLarge:
    return errors.FrameTooLarge("too many", metadata={"commands_max": commands_max})


def test_after_a_frame_that_did_not_pass_smaller_ones_go_one_by_one() -> None:
    queue = queue_of(*(pending(name, size=100) for name in "1234"))
    queue.next_frame()
    queue.add(pending("5", size=100))

    queue.stream_broke(TOO_LARGE, now=0.0)

    assert names(queue.next_frame()) == ["1", "2"]
    assert queue.next_frame() is None
    queue.answer(answers(1, 2))
    # Two at a time again, as this size passes.
    assert names(queue.next_frame()) == ["3", "4"]
    assert names(queue.next_frame()) == ["5"]


def test_only_the_command_that_is_too_large_alone_fails() -> None:
    small, large = pending("small"), pending("large", size=1000)
    queue = queue_of(large, small)

    for _ in range(2):
        queue.next_frame()
        queue.stream_broke(TOO_LARGE, now=0.0)

    error = caller(large).error
    assert isinstance(error, errors.ResourceExhaustedError)
    # It may have been its answer that was too large.
    assert (error.request_id, error.outcome_unknown) == ("large", True)
    assert names(queue.next_frame()) == ["small"]


def test_what_goes_again_in_smaller_frames_is_no_attempt() -> None:
    queue = queue_of(pending("1", attempts_max=1), pending("2", attempts_max=1))
    queue.next_frame()

    queue.stream_broke(TOO_LARGE, now=0.0)

    assert names(queue.next_frame()) == ["1"]


def test_a_service_that_takes_fewer_commands_in_a_frame_gets_so_many() -> None:
    queue = queue_of(*(pending(name) for name in "12345"))
    queue.next_frame()

    queue.stream_broke(frame_too_large("2"), now=0.0)

    assert names(queue.next_frame()) == ["1", "2"]


def test_two_frames_under_way_leave_open_which_did_not_pass() -> None:
    first, second = pending("1", size=100), pending("2", size=100)
    queue = queue_of(first)
    queue.next_frame()
    queue.add(second)
    queue.next_frame()

    queue.stream_broke(TOO_LARGE, now=0.0)

    assert not caller(first).done()
    assert not caller(second).done()
    assert names(queue.next_frame()) == ["1"]
    assert queue.next_frame() is None


async def test_answers_that_are_too_large_for_the_client_come_in_smaller_frames(
    connect: Connect, fake: FakeService
) -> None:
    client = connect(
        fake.address, max_attempts=1, channel_options={"grpc.max_receive_message_length": 2000}
    )

    answered = await asyncio.gather(
        *(client.messages.post("general", "ann", "hello") for _ in range(300))
    )

    assert {answer.receipt.position for answer in answered} == set(range(1, 301))


async def test_a_command_that_no_service_takes_is_not_sent(
    connect: Connect, fake: FakeService
) -> None:
    client = connect(fake.address)
    beside = asyncio.create_task(client.messages.post("general", "ann", "hello"))

    with pytest.raises(errors.CommandTooLarge, match="at most 2097152 are taken") as raised:
        await client.messages.post("general", "ann", bytes(SENT_BYTES_MAX), request_id="large")

    assert (raised.value.request_id, raised.value.outcome_unknown) == ("large", False)
    assert (await beside).receipt.position == 1
    assert len(fake.sequences) == 1


@pytest.mark.parametrize("wait", [0, 1])
async def test_g7_nor_is_one_that_goes_alone_as_it_may_wait(
    connect: Connect, fake: FakeService, wait: int
) -> None:
    client = connect(fake.address)

    with pytest.raises(errors.CommandTooLarge, match="at most 2097152 are taken") as raised:
        await client.locks.acquire("door", "x" * SENT_BYTES_MAX, wait=wait, request_id="large")

    assert (raised.value.request_id, raised.value.outcome_unknown) == ("large", False)
