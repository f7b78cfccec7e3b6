"""A cursor that is none, or stands where this log never was, gives an error and no wrong data."""

from __future__ import annotations

import pytest

from gapless.v1.events_pb2 import ReadEventsRequest
from gapless_server.rpc.cursors import Cursor, read_cursor, write_cursor
from tests.rpc.watching import cursor_now, positions, read_page, watch
from tests.rpc.wire import Seen, Wire, post

NOT_OURS = "is not a cursor that this service gave out"


async def refusals(wire: Wire, cursor: str) -> list[Seen]:
    """Returns how a page and a watch that begin with a cursor are refused."""
    return [
        await wire.refusal("EventService/ReadEvents", ReadEventsRequest(cursor=cursor)),
        await watch(wire, cursor=cursor).refusal(),
    ]


@pytest.mark.parametrize(
    "cursor",
    ["x", "===", "not base64!", "AAAA", "a" * 1000, "ü", "kqFhoWI=", "kwECAw=="],
)
async def test_a_cursor_that_is_garbage_is_refused_naming_the_field(
    wire: Wire, cursor: str
) -> None:
    await wire.create_channel()

    for refusal in await refusals(wire, cursor):
        assert refusal.reason == "INVALID_FIELD"
        assert refusal.fields == {"cursor": NOT_OURS}


async def test_a_cursor_with_something_behind_it_is_refused(wire: Wire) -> None:
    await wire.create_channel()
    cursor = await cursor_now(wire)

    for refusal in await refusals(wire, f"{cursor}+7"):
        assert refusal.fields == {"cursor": NOT_OURS}


@pytest.mark.parametrize("position", [-1, -(2**63)])
async def test_a_cursor_before_the_log_is_refused(wire: Wire, position: int) -> None:
    await wire.create_channel()
    incarnation = read_cursor(await cursor_now(wire)).incarnation

    for refusal in await refusals(wire, write_cursor(Cursor(incarnation, position))):
        assert refusal.fields == {"cursor": NOT_OURS}


@pytest.mark.parametrize("position", [3, 2**63 - 1, 2**64 - 1])
async def test_a_cursor_beyond_the_head_is_refused_and_the_head_is_named(
    wire: Wire, position: int
) -> None:
    await wire.create_channel()
    await wire.run(post("p1"))
    incarnation = read_cursor(await cursor_now(wire)).incarnation

    for refusal in await refusals(wire, write_cursor(Cursor(incarnation, position))):
        assert refusal.reason == "INVALID_FIELD"
        assert refusal.fields == {"cursor": "is beyond the head of the log, 2"}


async def test_g6_a_watch_with_a_cursor_of_another_incarnation_is_reset_and_ends(
    wire: Wire,
) -> None:
    await wire.create_channel()
    incarnation = read_cursor(await cursor_now(wire)).incarnation

    watching = watch(wire, cursor=write_cursor(Cursor("another", 1)))
    reset = await watching.next()
    code = await watching.ended()

    assert reset.reset.incarnation == incarnation
    assert code.name == "OK"
    again = watch(wire, cursor=reset.cursor)
    assert positions(await again.entries_until_caught_up()) == [1]


async def test_g6_a_page_with_a_cursor_of_another_incarnation_is_refused(wire: Wire) -> None:
    await wire.create_channel()
    incarnation = read_cursor(await cursor_now(wire)).incarnation
    request = ReadEventsRequest(cursor=write_cursor(Cursor("another", 1)))

    refusal = await wire.refusal("EventService/ReadEvents", request)

    assert refusal.reason == "CURSOR_RESET"
    assert refusal.metadata == {"cursor_incarnation": "another", "incarnation": incarnation}


async def test_g6_a_cursor_from_before_the_first_entries_is_of_the_incarnation_they_were_read_in(
    wire: Wire,
) -> None:
    """Whoever handled some of them keeps it, and skips as many when they come again."""
    await wire.create_channel()
    watched = await watch(wire, from_start=True).until("entries")
    page = await read_page(wire)
    assert watched.entries.start_cursor == page.start_cursor
    here = read_cursor(page.start_cursor)

    elsewhere = write_cursor(here._replace(incarnation="another"))
    refusal = await wire.refusal("EventService/ReadEvents", ReadEventsRequest(cursor=elsewhere))
    reset = await watch(wire, cursor=elsewhere).next()

    assert here.position == 0
    assert refusal.reason == "CURSOR_RESET"
    assert reset.reset.incarnation == here.incarnation


async def test_a_cursor_with_which_nothing_was_read_holds_in_every_incarnation(
    wire: Wire,
) -> None:
    await wire.create_channel()
    cursor = write_cursor(Cursor("another", 0))

    assert positions(list((await read_page(wire, cursor)).entries)) == [1]
    assert positions(await watch(wire, cursor=cursor).entries_until_caught_up()) == [1]
