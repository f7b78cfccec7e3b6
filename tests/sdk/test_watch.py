"""A watch gives every entry once, in order, whatever happens to its streams (G6); both colours."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest

from gapless import AsyncClient, AsyncWatch, CaughtUp, Entry, WatchItem, errors
from gapless.testing import InProcessServer, SubprocessServer
from gapless.v1 import events_pb2
from gapless.v1.events_pb2 import WatchRequest, WatchResponse
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import FakeService, Watched

WATCHES = ("gapless._async._watch", "gapless._sync._watch")


async def take(watch: AsyncWatch, count: int) -> list[WatchItem]:
    return [await anext(watch) for _ in range(count)]


def shown(items: list[WatchItem]) -> list[int | str]:
    """Positions of entries, and the caught-up mark as a word."""
    return [item.position if isinstance(item, Entry) else "caught up" for item in items]


def entry(position: int) -> WatchResponse:
    return WatchResponse(
        cursor=f"c{position}",
        entries=events_pb2.Entries(entries=[events_pb2.Entry(position=position)]),
    )


def caught_up(position: int) -> WatchResponse:
    return WatchResponse(cursor=f"c{position}", caught_up=events_pb2.CaughtUp(position=position))


def heartbeat(position: int) -> WatchResponse:
    return WatchResponse(cursor=f"c{position}", heartbeat=events_pb2.Heartbeat(position=position))


async def test_a_watch_gives_what_was_and_what_comes(
    connect: Connect, gapless_server: InProcessServer
) -> None:
    client = connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")
    await client.channels.create("general")
    await client.messages.post("general", "alice", "before", request_id="r-1")

    async with client.events.watch(from_start=True) as watch:
        before = await take(watch, 3)
        await client.messages.post("general", "alice", "after")
        after = await take(watch, 1)

    assert shown(before + after) == [1, 2, "caught up", 3]
    match before:
        case [Entry(position=1), Entry(request_id="r-1"), CaughtUp(position=2)]:
            pass
        case _:
            pytest.fail(f"other items: {before}")


async def test_a_watch_from_now_begins_with_what_comes(
    connect: Connect, gapless_server: InProcessServer
) -> None:
    client = connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")
    await client.channels.create("general")

    async with client.events.watch(from_now=True) as watch:
        first = await take(watch, 1)
        await client.messages.post("general", "alice", "after")
        second = await take(watch, 1)

    assert shown(first + second) == ["caught up", 2]


async def test_a_watch_gives_only_what_the_filter_asks_for(
    connect: Connect, gapless_server: InProcessServer
) -> None:
    client = connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")
    for channel in ("one", "two"):
        await client.channels.create(channel)
        await client.messages.post(channel, "alice", "hello")

    by_channel = client.events.watch(from_start=True, channel_ids=["two"])
    by_type = client.events.watch(from_start=True, event_types=["message_posted"])

    assert shown(await take(by_channel, 3)) == [3, 4, "caught up"]
    assert shown(await take(by_type, 3)) == [2, 4, "caught up"]
    await by_channel.close()
    await by_type.close()


async def test_another_watch_goes_on_from_a_stored_cursor(
    connect: Connect, gapless_server: InProcessServer
) -> None:
    # Given a watch that stored the cursor of an entry, in the middle of what one message brings
    client = connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")
    await client.channels.create("general")
    for _ in range(4):
        await client.messages.post("general", "alice", "hello")
    async with client.events.watch(from_start=True) as watch:
        stored = (await take(watch, 3))[-1].cursor

    # When another watch, and readers by page, begin there
    async with client.events.watch(cursor=stored) as watch:
        watched = await take(watch, 3)
    read = [item async for item in client.events.read(cursor=stored)]
    by_one = [item async for item in client.events.read(cursor=stored, page_size=1)]

    # Then all go on with the next entry
    assert shown(watched) == [4, 5, "caught up"]
    assert [item.position for item in read] == [4, 5]
    assert [item.position for item in by_one] == [4, 5]


async def test_g6_a_watch_goes_on_after_a_restart(connect: Connect, tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path) as server:
        client = connect(server.address)
        await client.channels.create("general")
        async with client.events.watch(from_start=True) as watch:
            items = await take(watch, 2)

            await asyncio.to_thread(server.restart)
            await client.messages.post("general", "alice", "after the restart")
            items += await take(watch, 1)

    assert shown(items) == [1, "caught up", 2]


async def test_g6_a_watch_goes_on_after_the_service_was_killed(
    connect: Connect, tmp_path: Path
) -> None:
    with SubprocessServer(directory=tmp_path) as server:
        client = connect(server.address)
        await client.channels.create("general")
        async with client.events.watch(from_start=True) as watch:
            items = await take(watch, 2)

            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await client.messages.post("general", "alice", "after the crash")
            items += await take(watch, 1)

    assert shown(items) == [1, "caught up", 2]


async def test_g6_a_log_that_is_another_one_is_a_reset(connect: Connect) -> None:
    # Given a service that forgets everything when it stops
    with InProcessServer(journal="memory") as server:
        client = connect(server.address)
        await client.channels.create("general")
        async with client.events.watch(from_start=True) as watch:
            await take(watch, 2)
            await asyncio.to_thread(server.restart)
            await client.channels.create("another")

            with pytest.raises(errors.CursorReset, match="from_start"):
                await take(watch, 1)

        async with client.events.watch(from_start=True) as again:
            assert shown(await take(again, 2)) == [1, "caught up"]


async def test_a_refused_watch_raises(connect: Connect, gapless_server: InProcessServer) -> None:
    client = connect(gapless_server.address)

    with pytest.raises(errors.InvalidField):
        await take(client.events.watch(from_start=True, event_types=["message_lost"]), 1)
    with pytest.raises(errors.InvalidField):
        await take(client.events.watch(cursor="not a cursor"), 1)


@pytest.mark.parametrize(
    "end", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.OK]
)
async def test_a_broken_stream_goes_on_where_it_stood(
    connect: Connect, end: grpc.StatusCode
) -> None:
    watches = [
        Watched([entry(1), caught_up(1), heartbeat(7)], end),
        Watched([], end),
        Watched([caught_up(7), entry(8)]),
    ]
    with FakeService(watches=watches) as service:
        async with connect(service.address).events.watch(from_start=True) as watch:
            items = await take(watch, 3)

    assert shown(items) == [1, "caught up", 8]
    assert service.watch_requests == [
        WatchRequest(from_start=True),
        WatchRequest(cursor="c7"),
        WatchRequest(cursor="c7"),
    ]


async def test_a_lost_watch_is_tried_again_for_as_long_as_its_time_allows(
    connect: Connect,
) -> None:
    """However often the client tries its calls."""
    refused = Watched([], grpc.StatusCode.UNAVAILABLE)
    watches = [Watched([entry(1)], grpc.StatusCode.UNAVAILABLE), refused, refused]
    with FakeService(watches=[*watches, Watched([entry(2)])]) as service:
        client = connect(service.address, max_attempts=1)
        async with client.events.watch(from_start=True) as watch:
            items = await take(watch, 2)
        service.release()

    assert shown(items) == [1, 2]


async def test_a_watch_that_never_began_is_tried_as_often_as_calls_are(connect: Connect) -> None:
    refused = Watched([], grpc.StatusCode.UNAVAILABLE)
    with FakeService(watches=[refused] * 3) as service:
        client = connect(service.address, max_attempts=2)

        with pytest.raises(errors.UnavailableError):
            await take(client.events.watch(from_start=True), 1)

    assert len(service.watch_requests) == 2


async def test_a_silent_stream_is_dead_and_another_is_opened(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for watch_module in WATCHES:
        monkeypatch.setattr(f"{watch_module}.WATCH_SILENCE_SECONDS_MAX", 0.1)
    watches = [Watched([entry(1)]), Watched([entry(2)])]
    with FakeService(watches=watches) as service:
        async with connect(service.address).events.watch(from_start=True) as watch:
            items = await take(watch, 2)
        service.release()

    assert shown(items) == [1, 2]
    assert service.watch_requests[1] == WatchRequest(cursor="c1")


async def test_closing_a_watch_ends_the_wait_for_its_next_item(connect: Connect) -> None:
    with FakeService(watches=[Watched([entry(1)])]) as service:
        watch = connect(service.address).events.watch(from_start=True)
        await take(watch, 1)
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.sleep(0)

        await watch.close()

        assert await waiting is None
        assert [item async for item in watch] == []
        service.release()


async def test_a_wait_that_is_given_up_misses_nothing() -> None:
    watches = [Watched([entry(1)]), Watched([entry(2)])]
    with FakeService(watches=watches) as service:
        async with AsyncClient(service.address) as client:
            watch = client.events.watch(from_start=True)
            first = await take(watch, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.05)
            second = await take(watch, 1)
            await watch.close()
        service.release()

    assert shown(first + second) == [1, 2]
    assert service.watch_requests[1] == WatchRequest(cursor="c1")


async def test_a_watch_of_a_service_that_is_not_there_ends_with_its_timeout(
    connect: Connect,
) -> None:
    with FakeService() as service:
        address = service.address

    with pytest.raises(errors.UnavailableError, match="gapless serve"):
        await take(connect(address).events.watch(from_start=True, timeout=0.3), 1)


async def test_a_lost_watch_ends_with_its_resume_timeout(connect: Connect) -> None:
    with FakeService(watches=[Watched([entry(1)], grpc.StatusCode.UNAVAILABLE)]) as service:
        watch = connect(service.address).events.watch(from_start=True, resume_timeout=0.3)
        await take(watch, 1)

    with pytest.raises(errors.UnavailableError):
        await take(watch, 1)


async def test_a_watch_begins_in_exactly_one_way(connect: Connect) -> None:
    client = connect("127.0.0.1:1")

    with pytest.raises(ValueError, match="exactly one"):
        client.events.watch()


async def test_an_empty_list_to_filter_by_is_refused_at_once(connect: Connect) -> None:
    client = connect("127.0.0.1:1")

    with pytest.raises(ValueError, match="channel_ids is empty"):
        client.events.watch(from_start=True, channel_ids=[])
    with pytest.raises(ValueError, match="event_types is empty"):
        client.events.read(event_types=[])
