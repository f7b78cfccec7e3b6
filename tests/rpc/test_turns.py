"""What many streams have to do is done in order, and a little of it in each turn of the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gapless.v1.commands_pb2 import PipelineResponse
from gapless_server.core.refusals import invalid_field
from gapless_server.rpc.commands import response_of
from gapless_server.rpc.turns import TURN_SECONDS, Turns
from tests.rpc.in_process import CallEnded, InProcessService

STREAMS = 30
# More commands than a frame may have, which are counted one by one.
FRAME_THAT_TAKES_LONG = b"\x0a\x00" * 1_000_000


def work_for(seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass


async def test_g7_work_that_fills_a_turn_leaves_the_rest_to_later_turns() -> None:
    turns = Turns[int, int]()
    turn = 0
    done: list[tuple[int, int]] = []

    def work(number: int) -> int:
        work_for(TURN_SECONDS)
        done.append((turn, number))
        return number

    streams = asyncio.gather(*(turns.do(work, number) for number in range(STREAMS)))
    while not streams.done():
        turn += 1
        await asyncio.sleep(0)

    assert await streams == list(range(STREAMS))
    assert [number for _turn, number in done] == list(range(STREAMS))
    assert len({turn for turn, _number in done}) == STREAMS


async def test_work_is_done_in_the_order_in_which_it_was_asked_for() -> None:
    turns = Turns[str, None]()
    asked: list[str] = []
    done: list[str] = []

    def work(name: str) -> None:
        done.append(name)
        work_for(TURN_SECONDS)

    async def stream(name: str) -> None:
        for number in range(3):
            asked.append(f"{name} {number}")
            await turns.do(work, asked[-1])

    await asyncio.gather(*map(stream, "abc"))

    assert len(done) == 9
    assert done == asked


async def test_work_for_which_there_is_time_is_done_at_once() -> None:
    turns = Turns[int, int]()

    with pytest.raises(StopIteration) as made:
        turns.do(abs, -7).send(None)

    assert made.value.value == 7


async def test_work_of_a_stream_that_has_ended_is_not_done() -> None:
    turns = Turns[str, None]()
    done: list[str] = []

    def work(name: str) -> None:
        done.append(name)
        work_for(TURN_SECONDS)

    tasks = [asyncio.create_task(turns.do(work, name)) for name in "abc"]
    await asyncio.sleep(0)  # so that they wait
    tasks[1].cancel()
    await asyncio.wait(tasks)

    assert done == ["a", "c"]


async def test_what_work_raises_is_raised_where_it_was_asked_for() -> None:
    turns = Turns[str, int]()

    def work(text: str) -> int:
        work_for(TURN_SECONDS)
        return int(text)

    found = await asyncio.gather(*(turns.do(work, text) for text in "1x2"), return_exceptions=True)

    assert found[0] == 1
    assert isinstance(found[1], ValueError)
    assert found[2] == 2


async def test_g7_frames_of_many_streams_are_taken_in_over_many_turns() -> None:
    service = InProcessService()
    turns = 0

    async def frames() -> AsyncIterator[bytes]:
        yield FRAME_THAT_TAKES_LONG

    async def refused() -> str:
        with pytest.raises(CallEnded, match="INVALID_ARGUMENT"):
            await anext(service.pipeline(frames()))
        return "refused"

    streams = asyncio.gather(*(refused() for _ in range(STREAMS)))
    while not streams.done():
        turns += 1
        await asyncio.sleep(0)
    await service.namespaces.close()

    assert await streams == ["refused"] * STREAMS
    # One a turn; all of them in the same one take 7.
    assert turns > STREAMS


async def test_g7_the_refusals_of_a_large_frame_are_written_in_many_turns() -> None:
    """All in one, they held up everybody else for half a second."""
    refusals = [invalid_field("request_id", f"no. {number}") for number in range(10_000)]
    turns = 0

    writing = asyncio.ensure_future(response_of(refusals))
    while not writing.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10
    results = PipelineResponse.FromString(await writing).results
    assert [result.error.message for result in results] == list(map(str, refusals))
