"""What is under way when a client is closed or left raises what its caller can handle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest

from gapless import AsyncClient, AsyncWatch, ClientClosedError, ClientElsewhereError, WatchItem
from gapless.v1.events_pb2 import CaughtUp, WatchResponse
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import FakeService, Watched


async def test_a_read_that_is_under_way_when_its_client_is_closed_says_so(
    connect: Connect,
) -> None:
    with FakeService(reads=[None]) as service:
        client = connect(service.address, max_attempts=1)
        reading = asyncio.create_task(client.operations.server_info())
        await asyncio.to_thread(service.wait_for_reads, 1)

        await client.close()

        with pytest.raises(ClientClosedError) as raised:
            await reading
        service.release()
    assert raised.value.outcome_unknown is False


async def test_a_watch_that_is_under_way_when_its_client_is_closed_says_so(
    connect: Connect,
) -> None:
    with FakeService() as service:
        client = connect(service.address)
        watching = asyncio.create_task(anext(client.events.watch(from_start=True)))
        await asyncio.to_thread(service.wait_for_watches, 1)

        await client.close()

        with pytest.raises(ClientClosedError):
            await watching
        service.release()


@pytest.mark.parametrize("wait", [0, 5])
async def test_a_closed_client_says_so_to_whoever_wants_a_lock(
    connect: Connect, fake: FakeService, wait: int
) -> None:
    client = connect(fake.address)
    await client.messages.post("general", "ann", "hello")
    await client.close()

    with pytest.raises(ClientClosedError) as raised:
        await client.locks.acquire("door", "ann", wait=wait)

    assert raised.value.outcome_unknown is False


async def test_closing_that_is_broken_off_has_closed_the_connection(fake: FakeService) -> None:
    client = AsyncClient(fake.address)
    await client.messages.post("general", "ann", "hello")

    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    await asyncio.to_thread(fake.wait_for_ended_streams, 1)


async def test_a_watch_that_nobody_has_any_more_ends_its_stream() -> None:
    """A loop that is left in its middle keeps nothing in the service."""
    caught_up = WatchResponse(cursor="c1", caught_up=CaughtUp(position=0))
    with FakeService(watches=[Watched([caught_up])]) as service:
        async with AsyncClient(service.address) as client:
            async for _ in client.events.watch(from_start=True):
                break
            gc.collect()

            await asyncio.to_thread(service.wait_for_ended_watches, 1)


async def test_another_loop_is_told_so_while_that_of_the_client_runs(fake: FakeService) -> None:
    """And nothing of its command is sent."""
    async with AsyncClient(fake.address) as client:
        await client.messages.post("general", "ann", "hello")
        told: list[BaseException] = []

        def elsewhere() -> None:
            for use in (
                client.messages.post("general", "ann", "away"),
                client.operations.server_info(),
            ):
                try:
                    asyncio.run(use)
                except ClientElsewhereError as error:
                    told.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)

    assert len(told) == 2
    assert len(fake.sequences) == 1


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
async def test_a_time_to_wait_for_a_watch_is_one(
    connect: Connect, fake: FakeService, timeout: float
) -> None:
    with pytest.raises(ValueError, match="expected seconds above 0"):
        connect(fake.address).events.watch(from_start=True, timeout=timeout)


async def test_a_timeout_of_centuries_is_none(connect: Connect) -> None:
    with FakeService(reads=[None]) as service:
        client = connect(service.address)
        reading = asyncio.create_task(client.operations.server_info(timeout=1e12))
        await asyncio.to_thread(service.wait_for_reads, 1)
        service.release()

        await reading


async def swallow_a_cancellation() -> None:
    """Leaves this task with a cancellation that it went on after."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert task.cancelling() == 1


async def test_a_watch_ends_in_order_in_a_task_that_went_on_after_a_cancellation() -> None:
    async def watch_on(watch: AsyncWatch) -> list[WatchItem]:
        await swallow_a_cancellation()
        return [item async for item in watch]

    with FakeService() as service:
        async with AsyncClient(service.address) as client:
            watch = client.events.watch(from_start=True)
            watching = asyncio.create_task(watch_on(watch))
            await asyncio.to_thread(service.wait_for_watches, 1)

            await watch.close()

            assert await watching == []
        service.release()


async def test_a_closed_client_says_so_in_a_task_that_went_on_after_a_cancellation() -> None:
    async def read_on(client: AsyncClient) -> None:
        await swallow_a_cancellation()
        await client.operations.server_info()

    with FakeService(reads=[None]) as service:
        client = AsyncClient(service.address)
        reading = asyncio.create_task(read_on(client))
        await asyncio.to_thread(service.wait_for_reads, 1)

        await client.close()

        with pytest.raises(ClientClosedError):
            await reading
        service.release()


@pytest.mark.parametrize("waits_for", ["watch", "read"])
async def test_a_cancellation_that_comes_right_before_a_wait_is_heard_in_it(waits_for: str) -> None:
    """As Ctrl-C does, which may come in the middle of a task's own code."""
    with FakeService(reads=[None]) as service:
        async with AsyncClient(service.address) as client:
            watch = client.events.watch(from_start=True)
            waits = {"watch": watch.__anext__, "read": client.operations.server_info}
            task = asyncio.current_task()
            assert task is not None

            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits[waits_for]()

            task.uncancel()
            await watch.close()
        service.release()
