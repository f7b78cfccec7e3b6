"""The client for asyncio keeps its promises on asyncio's own event loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from gapless import AsyncClient
from gapless._command_queue import HALVED_COMMANDS_MIN, PAYING_COMMANDS_MIN
from tests.sdk.fake_service import Break, FakeService, Hold

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
on_both_loops = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@on_both_loops
def test_g3_many_callers_get_their_own_answers_also_over_a_break(
    loop_factory: LoopFactory,
) -> None:
    names = [f"r{index:04}" for index in range(2 * HALVED_COMMANDS_MIN)]

    async def run(service: FakeService) -> dict[str, int]:
        async with AsyncClient(service.address) as client:

            async def position(name: str) -> int:
                posted = await client.messages.post("general", "alice", "x", request_id=name)
                return posted.receipt.position

            return dict(zip(names, await asyncio.gather(*map(position, names)), strict=True))

    # Given a stream that breaks after its first frame was applied
    with (
        FakeService([Break(applied=True)]) as service,
        asyncio.Runner(loop_factory=loop_factory) as runner,
    ):
        answered = runner.run(run(service))

    # Then each was applied once, in the order of the calls, and each caller has its own answer
    assert answered == service.sequences
    assert list(service.sequences) == names


@on_both_loops
def test_g5_a_cancelled_caller_takes_nothing_from_the_others_of_its_frame(
    loop_factory: LoopFactory,
) -> None:
    async def run(service: FakeService) -> list[int | BaseException]:
        async with AsyncClient(service.address) as client:
            callers = [
                asyncio.create_task(client.messages.post("general", "alice", "x")) for _ in range(3)
            ]
            await asyncio.to_thread(service.wait_for_frames, 1)
            callers[1].cancel()
            service.release()
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
            return [
                one if isinstance(one, BaseException) else one.receipt.position for one in outcomes
            ]

    # Given three callers in one frame whose answer is held, one of whom gives up
    with FakeService([Hold()]) as service, asyncio.Runner(loop_factory=loop_factory) as runner:
        first, cancelled, last = runner.run(run(service))

    assert (first, last) == (1, 3)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert len(service.sequences) == 3


def test_a_busy_client_has_two_halves_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a client that takes every turn for its own work
    monkeypatch.setattr("gapless._pace.SHARE_MIN", 0.0)
    monkeypatch.setattr("gapless._pace.HALVED_SHARE_MIN", 0.0)

    async def run(service: FakeService) -> None:
        async with AsyncClient(service.address) as client:

            async def call() -> None:
                for _ in range(4):
                    await client.messages.post("general", "alice", "x")

            await asyncio.gather(*(call() for _ in range(PAYING_COMMANDS_MIN)))

    # When as many callers as are worth it go on with each answer
    with FakeService() as service, asyncio.Runner() as runner:
        runner.run(run(service))

    # Then frames of all are followed by halves, once there was a turn to tell by
    sizes = [len(frame.request_ids) for frame in service.frames]
    half = PAYING_COMMANDS_MIN // 2
    assert sizes == [2 * half, 2 * half, half, half, half, half]
