"""On asyncio: a write that meets the end of its stream hides why it ended; the next stream says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc import StatusCode

from gapless import AsyncClient, errors
from tests.sdk.fake_service import FakeService
from tests.sdk.queued import LOST, answers, caller, names, pending, queue_of

# As grpc.aio says it.
HIDDEN = errors.InternalError(
    "the call to 127.0.0.1:1 failed with INTERNAL: Internal error from Core",
    code=StatusCode.INTERNAL,
)


class Refusing(FakeService):
    """Turns every stream away before it has read a frame."""

    async def pipeline(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        await context.abort(StatusCode.UNAUTHENTICATED, "who are you?")
        yield b""


def test_a_break_that_hides_its_status_is_no_attempt_but_the_next_in_a_row_is() -> None:
    command = pending("1", attempts_max=1)
    queue = queue_of(command)
    queue.next_frame()

    queue.stream_broke(HIDDEN, now=0.0)

    assert queue.listens_first
    assert names(queue.next_frame()) == ["1"]
    queue.stream_broke(HIDDEN, now=0.0)
    error = caller(command).error
    assert isinstance(error, errors.InternalError)
    # It was written, whatever became of it.
    assert error.outcome_unknown is True


def test_after_a_break_that_hides_its_status_one_frame_is_under_way() -> None:
    queue = queue_of(pending("1"))
    queue.next_frame()
    queue.stream_broke(HIDDEN, now=0.0)

    assert names(queue.next_frame()) == ["1"]
    queue.add(pending("2"))
    assert queue.next_frame() is None
    # Until it is answered: then all is as before.
    queue.answer(answers(1))
    assert not queue.listens_first
    assert names(queue.next_frame()) == ["2"]
    queue.add(pending("3"))
    assert names(queue.next_frame()) == ["3"]


def test_a_break_that_says_why_ends_the_listening() -> None:
    queue = queue_of(pending("1"))
    queue.next_frame()
    queue.stream_broke(HIDDEN, now=0.0)
    queue.next_frame()

    queue.stream_broke(LOST, now=0.0)

    assert not queue.listens_first


async def test_a_stream_that_is_refused_while_it_is_written_to_says_why() -> None:
    with Refusing(reads=[StatusCode.OK] * 10) as service:

        async def refused() -> BaseException:
            async with AsyncClient(service.address, max_attempts=1) as client:
                # Given a connection, so that the frame is written as the stream is opened
                await client.operations.server_info()
                try:
                    await client.messages.post("general", "ann", "x")
                except errors.GaplessError as error:
                    return error
            raise AssertionError("it was not refused")

        # When that happens often enough for the write to meet the end of the stream
        told = [await refused() for _ in range(10)]

    assert {type(error) for error in told} == {errors.UnauthenticatedError}
