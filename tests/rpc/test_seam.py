"""The seam between what was there when a watch began and what comes: stepped through (G6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gapless.v1.events_pb2 import WatchRequest, WatchResponse
from tests.rpc.in_process import NAMESPACE, InProcessService, in_process_service
from tests.writer.harness import create, frame_of, post, run

SECONDS_MAX = 30


async def post_all(service: InProcessService, *request_ids: str) -> None:
    """Commits posts as one round."""
    async with service.namespaces.use(NAMESPACE) as namespace:
        await run(namespace, *[post(request_id) for request_id in request_ids])


async def entries_up_to(responses: AsyncIterator[bytes], position: int) -> list[int]:
    """Takes responses until the watch has come to a position; returns what it gave."""
    found: list[int] = []
    async with asyncio.timeout(SECONDS_MAX):
        async for data in responses:
            response = WatchResponse.FromString(data)
            found += [entry.position for entry in response.entries.entries]
            if (found and found[-1] >= position) or response.caught_up.position >= position:
                break
    return found


async def test_g6_what_is_committed_while_a_watch_catches_up_is_given() -> None:
    async with in_process_service() as service:
        async with service.namespaces.use(NAMESPACE) as namespace:
            await run(namespace, create())
        await post_all(service, "p2", "p3")
        responses = service.watch(WatchRequest(from_start=True).SerializeToString())

        before = await entries_up_to(responses, 3)
        await post_all(service, "p4")
        await post_all(service, "p5", "p6")
        after = await entries_up_to(responses, 6)

        assert (before, after) == ([1, 2, 3], [4, 5, 6])


async def test_g6_all_that_is_committed_at_once_is_given_to_a_watch_that_waits() -> None:
    async with in_process_service() as service, service.namespaces.use(NAMESPACE) as namespace:
        await run(namespace, create())
        responses = service.watch(WatchRequest(from_now=True).SerializeToString())
        assert await entries_up_to(responses, 1) == []
        waiting = asyncio.create_task(entries_up_to(responses, 4))
        await asyncio.sleep(0)

        namespace.submit(frame_of(post("p2"), post("p3"), post("p4")))

        assert await waiting == [2, 3, 4]
