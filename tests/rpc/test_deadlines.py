"""Clients that give up at once: each command is done once or not at all, and nothing is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import grpc.aio
import pytest

from gapless.testing import InProcessServer
from gapless.v1.events_pb2 import GetRequestRequest, GetRequestResponse, WatchRequest
from gapless.v1.messages_pb2 import PostMessageRequest, PostMessageResponse
from tests.rpc.watching import watch
from tests.rpc.wire import GENERAL, SECONDS_MAX, Wire, frame, post

DEADLINE_SECONDS = 0.001
CALLS = 10_000
STREAMS = 400
# How many calls are under way at a time, one after another: alone most are in time, among many
# most are given up, on the way there, in the queue, during the commit or on the way back.
CALLERS = (1, 2, 4, 8, 16)


async def open_tasks(server: InProcessServer) -> int:
    """Returns how many tasks the service has."""
    assert server._loop is not None

    async def count() -> int:
        return len(asyncio.all_tasks())

    counting = asyncio.run_coroutine_threadsafe(count(), server._loop)
    return await asyncio.wrap_future(counting)


async def no_task_left(server: InProcessServer, tasks_before: int) -> bool:
    """Returns once the service has ended all calls that were given up; else the time is over."""
    async with asyncio.timeout(SECONDS_MAX):
        while await open_tasks(server) > tasks_before:
            pass
    return True


async def hurried(call: Callable[[int], Awaitable[object]], count: int) -> Counter[str]:
    """Makes calls, more and more of them at a time, and returns how they ended."""
    numbers = iter(range(count))
    ends: Counter[str] = Counter()

    async def caller(calls: int) -> None:
        for number in islice(numbers, calls):
            try:
                await call(number)
                ends["OK"] += 1
            except grpc.aio.AioRpcError as error:
                ends[error.code().name] += 1
            except asyncio.InvalidStateError:
                ends["over before it began"] += 1

    for callers in CALLERS:
        calls = count // len(CALLERS) // callers
        await asyncio.gather(*(caller(calls) for _ in range(callers)))
    return ends


def request(number: int) -> PostMessageRequest:
    return PostMessageRequest(request_id=f"p{number}", channel_id=GENERAL, sender_id="ann")


async def posted_ids(wire: Wire) -> list[str]:
    """Returns the request ids of the posts in the log, in its order, whose sequences are dense."""
    watching = watch(wire, from_start=True)
    entries = await watching.entries_until_caught_up()
    watching.cancel()
    posted = [entry.events[0].message_posted.sequence for entry in entries[1:]]
    assert posted == list(range(1, len(entries)))
    return [entry.request_id for entry in entries[1:]]


@pytest.mark.timeout(300)
async def test_g3_commands_that_are_given_up_at_once_are_done_once_or_not_at_all(
    wire: Wire, gapless_server: InProcessServer
) -> None:
    await wire.create_channel()
    tasks_before = await open_tasks(gapless_server)

    async def post_hurriedly(number: int) -> None:
        await wire.call(
            "MessageService/PostMessage",
            request(number),
            PostMessageResponse,
            timeout=DEADLINE_SECONDS,
        )

    ends = await hurried(post_hurriedly, CALLS)
    done = await posted_ids(wire)

    assert set(ends) <= {"OK", "DEADLINE_EXCEEDED"}
    assert ends.total() == CALLS
    assert CALLS >= len(done) == len(set(done)) >= ends["OK"]
    assert await no_task_left(gapless_server, tasks_before)
    # What became of each is known, and asking again does the rest and nothing twice.
    for number in (0, CALLS // 2, CALLS - 1):
        question = GetRequestRequest(request_id=f"p{number}")
        known = await wire.call("EventService/GetRequest", question, GetRequestResponse)
        assert known.found == (f"p{number}" in done)
        again = await wire.call("MessageService/PostMessage", request(number), PostMessageResponse)
        assert again.receipt.replayed == known.found


async def test_g3_frames_that_are_given_up_at_once_are_done_once_or_not_at_all(
    wire: Wire, gapless_server: InProcessServer
) -> None:
    await wire.create_channel()
    tasks_before = await open_tasks(gapless_server)

    async def run_hurriedly(number: int) -> None:
        method: Any = wire.channel.stream_stream("/gapless.v1.CommandService/Pipeline")
        call = method(metadata=wire.metadata(None), timeout=DEADLINE_SECONDS)
        await call.write(frame(*(post(f"p{number} {n}") for n in range(10))))
        await call.read()

    await hurried(run_hurriedly, STREAMS)
    done = await posted_ids(wire)

    assert len(done) == len(set(done))
    # A frame that arrived was run as a whole.
    assert len(done) % 10 == 0
    assert await no_task_left(gapless_server, tasks_before)


async def test_watches_that_are_given_up_at_once_leave_nothing_behind(
    wire: Wire, gapless_server: InProcessServer
) -> None:
    await wire.create_channel()
    tasks_before = await open_tasks(gapless_server)
    data = WatchRequest(from_start=True).SerializeToString()

    async def watch_hurriedly(_number: int) -> None:
        streaming: Any = wire.channel.unary_stream("/gapless.v1.EventService/Watch")
        call = streaming(data, metadata=wire.metadata(None), timeout=DEADLINE_SECONDS)
        async for _ in call:
            pass

    ends = await hurried(watch_hurriedly, STREAMS)

    assert ends == {"DEADLINE_EXCEEDED": STREAMS}
    assert await no_task_left(gapless_server, tasks_before)
