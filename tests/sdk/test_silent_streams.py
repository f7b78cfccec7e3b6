"""A stream that stays open and says nothing is given up, and what comes after goes on another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gapless import errors
from gapless._command_queue import UNWANTED_SECONDS_MAX
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import Answer, FakeService, Hold
from tests.sdk.queued import LOST, NEVER, answers, caller, names, pending, queue_of

PIPELINES = ("gapless._async._pipeline", "gapless._sync._pipeline")
LATER = 5.0 + UNWANTED_SECONDS_MAX


class NeverEnding(FakeService):
    """Answers, and does not end its side of a stream when the client has ended its own."""

    async def pipeline(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        async for answer in super().pipeline(requests, context):
            yield answer
        await self._released.wait()


def test_g5_a_queue_is_stuck_once_nobody_has_waited_for_the_oldest_answer_for_long() -> None:
    # Given a frame whose callers' time is over, and one whose caller still waits
    late, later = pending("late", deadline=5.0), pending("later", attempts_max=1)
    queue = queue_of(late)
    queue.next_frame()
    queue.add(later)
    queue.next_frame()

    assert queue.expire(now=5.0) == LATER
    assert not queue.is_stuck(now=5.0)
    queue.expire(now=LATER)
    assert queue.is_stuck(now=LATER)

    # When its stream is given up for that
    queue.stream_broke(LOST, now=LATER)

    # Then who still waits is sent again, and that was no attempt of theirs
    assert names(queue.next_frame()) == ["later"]
    assert not queue.is_stuck(now=LATER)
    assert not caller(later).done()


def test_a_queue_whose_oldest_answer_is_waited_for_or_comes_is_not_stuck() -> None:
    queue = queue_of(pending("late", deadline=5.0), pending("patient"))
    queue.next_frame()
    queue.add(pending("next", deadline=5.0))
    queue.next_frame()

    assert queue.expire(now=LATER) == NEVER
    assert not queue.is_stuck(now=LATER)
    # An answer of the frame before counts as a sign of life.
    queue.answer(answers(1, 2))
    queue.expire(now=LATER)
    assert not queue.is_stuck(now=LATER)


async def test_g5_one_answer_that_is_lost_on_a_stream_does_not_hold_up_what_follows(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gapless._command_queue.UNWANTED_SECONDS_MAX", 0.05)
    monkeypatch.setattr(f"{PIPELINES[1]}.UNWANTED_SECONDS_MAX", 0.05)
    # Given a service that never answers the first frame, and keeps the stream open
    with FakeService([Hold(), Answer()]) as service:
        client = connect(service.address)
        with pytest.raises(errors.DeadlineExceededError) as raised:
            await client.messages.post("general", "ann", "x", request_id="lost", timeout=0.1)

        # When another command follows, with an attempt and time enough
        answer = await client.with_options(max_attempts=1).messages.post("general", "ann", "y")

        service.release()
    assert raised.value.outcome_unknown is True
    assert answer.receipt.position == 2
    assert service.streams_opened == 2


async def test_what_has_a_long_time_is_sent_again_if_a_lost_answer_is_before_it(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gapless._command_queue.UNWANTED_SECONDS_MAX", 0.05)
    monkeypatch.setattr(f"{PIPELINES[1]}.UNWANTED_SECONDS_MAX", 0.05)
    with FakeService([Hold()]) as service:
        client = connect(service.address)
        # Given a frame whose answer is lost, and another under way behind it
        lost = asyncio.create_task(
            client.messages.post("general", "ann", "x", request_id="lost", timeout=0.5)
        )
        await asyncio.to_thread(service.wait_for_frames, 1)
        behind = asyncio.create_task(
            client.with_options(max_attempts=1).messages.post(
                "general", "ann", "y", request_id="behind"
            )
        )
        await asyncio.to_thread(service.wait_for_frames, 2)

        with pytest.raises(errors.DeadlineExceededError):
            await lost

        assert (await behind).receipt.position == 2
        service.release()
    assert [frame.request_ids for frame in service.frames] == [["lost"], ["behind"], ["behind"]]


async def test_an_idle_stream_that_the_service_does_not_end_holds_up_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pipeline in PIPELINES:
        monkeypatch.setattr(f"{pipeline}.STREAM_IDLE_SECONDS_MAX", 0.05)
        monkeypatch.setattr(f"{pipeline}.STREAM_END_SECONDS_MAX", 0.05)
    with NeverEnding() as service:
        client = connect(service.address)
        await client.messages.post("general", "ann", "x")
        await asyncio.to_thread(service.wait_for_ended_streams, 1)

        answer = await client.messages.post("general", "ann", "y")

        service.release()
    assert answer.receipt.position == 2
    assert service.streams_opened == 2
