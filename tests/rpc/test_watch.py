"""Watching misses nothing: every event of the filter once, in order, from any cursor on (G6)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from gapless.testing import InProcessServer
from gapless.v1.commands_pb2 import Command
from gapless.v1.events_pb2 import (
    EventFilter,
    GetRequestRequest,
    GetRequestResponse,
    WatchRequest,
)
from gapless.v1.push_subscriptions_pb2 import UpsertPushSubscriptionRequest
from gapless.v1.reactions_pb2 import AddReactionRequest
from tests.rpc.watching import Watching, cursor_now, positions, read_page, watch
from tests.rpc.wire import GENERAL, SECONDS_MAX, Wire, open_wire, post

LARGE = "x" * 60_000


@pytest.fixture(scope="module")
def quick_server() -> Iterator[InProcessServer]:
    """A service with a quick heartbeat, two watches at most, and little in memory."""
    with InProcessServer(
        journal="sqlite", heartbeat_seconds=0.1, watch_streams_max=2, feed_bytes_max=1000
    ) as server:
        yield server


@pytest.fixture
async def quick_wire(quick_server: InProcessServer) -> AsyncIterator[Wire]:
    async for wire in open_wire(quick_server.address, f"watch-{uuid.uuid4().hex}"):
        yield wire


async def post_each(wire: Wire, *request_ids: str, text: str = "hello") -> None:
    """Posts one message a round, so that the log has as many rounds."""
    for request_id in request_ids:
        await wire.run(post(request_id, text))


async def test_from_the_start_gives_everything_then_says_so_then_goes_on(wire: Wire) -> None:
    await wire.create_channel()
    await post_each(wire, "p1", "p2")
    watching = watch(wire, from_start=True)

    before = await watching.entries_until_caught_up()
    await post_each(wire, "p3")
    after = await watching.entries_up_to(4)

    assert positions(before) == [1, 2, 3]
    assert [entry.request_id for entry in before] == [f"create {GENERAL}", "p1", "p2"]
    assert before[1].events[0].message_posted.sequence == 1
    assert positions(after) == [4]


async def test_from_now_begins_with_what_comes(wire: Wire) -> None:
    await wire.create_channel()
    await post_each(wire, "p1")
    watching = watch(wire, from_now=True)

    caught_up = await watching.next()
    await post_each(wire, "p2", "p3")
    after = await watching.entries_up_to(4)

    assert caught_up.caught_up.position == 2
    assert positions(after) == [3, 4]


async def test_every_cursor_of_a_stream_goes_on_without_hole_and_without_double(
    wire: Wire,
) -> None:
    await wire.create_channel()
    await post_each(wire, *(f"p{n}" for n in range(40)), text=LARGE)
    whole = watch(wire, from_start=True)
    seen: list[tuple[str, int]] = []
    while (response := await whole.next()).WhichOneof("content") != "caught_up":
        seen.append((response.cursor, response.entries.entries[-1].position))

    tails = []
    for cursor, _position in seen:
        tail = watch(wire, cursor=cursor)
        tails.append(positions(await tail.entries_until_caught_up()))
        tail.cancel()

    assert len(seen) >= 3  # the log came in several messages
    assert tails == [list(range(position + 1, 42)) for _cursor, position in seen]


async def test_entries_say_where_the_stream_stood_before_them(wire: Wire) -> None:
    """So whoever handled only some of a message begins there again, in the same incarnation."""
    await wire.create_channel()
    await post_each(wire, "p1", "p2")
    whole = await watch(wire, from_start=True).until("entries")
    page = await read_page(wire, page_size=2)

    again = await watch(wire, cursor=whole.entries.start_cursor).entries_until_caught_up()
    page_again = await read_page(wire, page.start_cursor, page_size=2)

    assert positions(again) == [1, 2, 3]
    assert whole.entries.start_cursor == page.start_cursor != ""
    assert positions(list(page_again.entries)) == [1, 2]


async def test_an_entry_travels_whole_and_several_in_one_message_are_in_order(
    wire: Wire,
) -> None:
    await wire.create_channel()
    await wire.run(*(post(f"p{n}") for n in range(500)))
    watching = watch(wire, from_start=True)

    entries = await watching.entries_until_caught_up()

    assert positions(entries) == list(range(1, 502))
    assert [entry.events[0].message_posted.sequence for entry in entries[1:]] == list(range(1, 501))


async def test_a_watch_of_a_namespace_that_does_not_exist_yet_waits_for_it(wire: Wire) -> None:
    watching = watch(wire, from_start=True)
    caught_up = await watching.until("caught_up")

    await wire.create_channel()

    assert caught_up.caught_up.position == 0
    assert positions(await watching.entries_up_to(1)) == [1]


async def test_a_cursor_from_before_the_first_entry_holds_after_the_log_came_into_being(
    wire: Wire,
) -> None:
    cursor = await cursor_now(wire)
    await wire.create_channel()
    await post_each(wire, "p1")

    watching = watch(wire, cursor=cursor)

    assert positions(await watching.entries_until_caught_up()) == [1, 2]


async def test_what_a_filter_of_channels_leaves_out_is_not_given(wire: Wire) -> None:
    for channel_id in ("a", "b", "c"):
        await wire.create_channel(channel_id)
    for n, channel_id in enumerate("abcabc"):
        await wire.run(post(f"p{n}", channel_id=channel_id))
    wanted = EventFilter(channel_ids=["a", "c"], event_types=["message_posted"])

    entries = await watch(wire, from_start=True, filter=wanted).entries_until_caught_up()

    assert [entry.events[0].message_posted.channel_id for entry in entries] == ["a", "c"] * 2
    assert positions(entries) == [4, 6, 7, 9]


async def test_what_a_filter_of_types_leaves_out_is_not_given_and_the_cursor_moves_on(
    wire: Wire,
) -> None:
    await wire.create_channel()
    await post_each(wire, "p1", "p2")
    wanted = EventFilter(event_types=["reaction_added"])
    watching = watch(wire, from_start=True, filter=wanted)

    caught_up = await watching.next()

    assert caught_up.caught_up.position == 3
    tail = watch(wire, cursor=caught_up.cursor)
    assert await tail.entries_until_caught_up() == []


@pytest.mark.parametrize("names", [["no_such_event"], ["message_posted", "MessagePosted", ""]])
async def test_an_event_type_that_does_not_exist_is_refused_and_named(
    wire: Wire, names: list[str]
) -> None:
    wanted = EventFilter(event_types=names)
    unknown = [index for index, name in enumerate(names) if name != "message_posted"]

    refusal = await watch(wire, from_start=True, filter=wanted).refusal()

    assert refusal.reason == "INVALID_FIELD"
    assert list(refusal.fields) == [f"filter.event_types[{index}]" for index in unknown]


@pytest.mark.parametrize(
    "request_data",
    [
        b"",
        WatchRequest(from_start=False).SerializeToString(),
        WatchRequest(from_now=False).SerializeToString(),
    ],
    ids=["no start", "from_start false", "from_now false"],
)
async def test_a_watch_that_does_not_say_where_to_begin_is_refused(
    wire: Wire, request_data: bytes
) -> None:
    refusal = await Watching(wire.stream("EventService/Watch", request_data)).refusal()

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refusal.fields) == {"start"}


async def test_an_idle_watch_says_that_it_is_alive_and_how_far_it_has_looked(
    quick_wire: Wire,
) -> None:
    await quick_wire.create_channel()
    watching = watch(quick_wire, from_start=True)

    first = await watching.until("heartbeat")
    second = await watching.until("heartbeat")

    assert (first.heartbeat.position, second.heartbeat.position) == (1, 1)
    assert second.heartbeat.time.seconds > 0
    assert first.cursor == second.cursor
    watching.cancel()


async def test_a_watch_that_wants_nothing_of_a_busy_log_says_that_it_is_alive_too(
    quick_wire: Wire,
) -> None:
    await quick_wire.create_channel()
    wanted = EventFilter(event_types=["channel_archived"])
    watching = watch(quick_wire, from_start=True, filter=wanted)
    await watching.until("caught_up")

    async def keep_busy() -> None:
        for n in range(1_000_000):
            await quick_wire.run(post(f"p{n}"))

    busy = asyncio.create_task(keep_busy())
    heartbeat = await watching.until("heartbeat")
    busy.cancel()
    await asyncio.wait([busy])

    assert heartbeat.heartbeat.position > 1
    watching.cancel()


async def test_a_reader_that_is_slow_is_given_everything_from_disk(quick_wire: Wire) -> None:
    """More is posted than gRPC and the feed keep for a stream that is not read."""
    await quick_wire.create_channel()
    watching = watch(quick_wire, from_start=True)
    await watching.until("caught_up")

    for n in range(40):
        await quick_wire.run(*(post(f"p{n} {m}", LARGE) for m in range(10)))
    entries = await watching.entries_up_to(401)

    assert positions(entries) == list(range(2, 402))
    watching.cancel()


async def test_g7_more_watches_than_may_be_open_are_refused_and_one_may_come_when_one_goes(
    quick_wire: Wire,
) -> None:
    first, second = (watch(quick_wire, from_now=True) for _ in range(2))
    await first.next()
    await second.next()

    refusal = await watch(quick_wire, from_now=True).refusal()
    first.cancel()
    await opened(quick_wire)
    second.cancel()

    assert refusal.reason == "TOO_MANY_STREAMS"
    assert refusal.metadata == {"streams_max": "2", "kind": "watch"}
    assert refusal.retry_seconds is not None


async def opened(wire: Wire) -> None:
    """Returns once a watch could be opened: the service learns of a cancelled one only later."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            watching = watch(wire, from_now=True)
            try:
                await watching.next()
            except grpc.aio.AioRpcError:
                continue
            watching.cancel()
            return


async def test_secrets_are_blank_wherever_events_are_shown(wire: Wire) -> None:
    request = UpsertPushSubscriptionRequest(
        request_id="push",
        user_id="ann",
        endpoint="https://push.example/1",
        p256dh_key=b"public",
        auth_key=b"secret",
    )
    await wire.run(Command(upsert_push_subscription=request))

    [watched] = await watch(wire, from_start=True).entries_until_caught_up()
    [read] = (await read_page(wire)).entries
    known = await wire.call(
        "EventService/GetRequest", GetRequestRequest(request_id="push"), GetRequestResponse
    )

    for event in (watched.events[0], read.events[0], known.events[0]):
        shown = event.push_subscription_upserted
        assert (shown.user_id, shown.endpoint) == ("ann", "https://push.example/1")
        assert (shown.p256dh_key, shown.auth_key) == (b"", b"")


async def test_two_watches_of_one_log_see_the_same(wire: Wire) -> None:
    await wire.create_channel()
    watches = [watch(wire, from_start=True) for _ in range(3)]
    await asyncio.gather(*(post_each(wire, f"a{n}") for n in range(20)))

    seen = [await watching.entries_up_to(21) for watching in watches]

    assert seen[0] == seen[1] == seen[2]
    assert positions(seen[0]) == list(range(1, 22))


async def test_pages_of_the_log_join_without_hole_and_without_double(wire: Wire) -> None:
    await wire.create_channel()
    await wire.run(*(post(f"p{n}") for n in range(24)))

    seen, cursor, ends = [], "", []
    for _ in range(3):
        page = await read_page(wire, cursor, page_size=10)
        seen += positions(list(page.entries))
        cursor = page.cursor
        ends.append(page.end_of_log)
    beyond = await read_page(wire, cursor)

    assert seen == list(range(1, 26))
    assert ends == [False, False, True]
    assert (list(beyond.entries), beyond.end_of_log) == ([], True)


async def test_a_page_with_a_filter_says_how_far_it_has_looked(wire: Wire) -> None:
    await wire.create_channel()
    await wire.run(*(post(f"p{n}") for n in range(10)))
    reaction = AddReactionRequest(
        request_id="r", channel_id=GENERAL, message_id="none", user_id="ann", emoji="x"
    )
    await wire.run(Command(add_reaction=reaction))  # refused: no such message

    page = await read_page(wire, wanted=EventFilter(event_types=["reaction_added"]))

    assert list(page.entries) == []
    assert page.end_of_log
    assert (await read_page(wire, page.cursor)).entries == []


async def test_a_page_and_a_watch_take_each_others_cursors(wire: Wire) -> None:
    await wire.create_channel()
    await post_each(wire, "p1", "p2")
    page = await read_page(wire, page_size=1)

    watched = await watch(wire, cursor=page.cursor).entries_until_caught_up()
    now = await cursor_now(wire)
    read = await read_page(wire, now)

    assert positions(watched) == [2, 3]
    assert list(read.entries) == []
