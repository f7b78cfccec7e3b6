"""Pages that clients do not take are bounded, by connection and in all (G7)."""

from __future__ import annotations

import asyncio

import pytest

from gapless.testing import InProcessServer
from gapless.v1.messages_pb2 import ListMessagesRequest, ListMessagesResponse
from gapless_server.core.refusals import Refused
from gapless_server.rpc import unsent
from gapless_server.rpc.unsent import Charge, Unsent
from tests.rpc.in_process import CallContext
from tests.rpc.wire import GENERAL, Wire, open_wire, post

PAGE = 10
# Room for two pages of a connection, and for three of all.
CONNECTION_MAX = 2 * PAGE
ALL_MAX = 3 * PAGE
SECONDS_MAX = 20.0


class Page:
    """A page of a connection, asked for and maybe let in."""

    def __init__(self, room: Unsent, connection: str) -> None:
        self.context = CallContext(connection=connection)
        self.asking = asyncio.create_task(room.charge(self.context))  # type: ignore[arg-type]

    async def is_let_in(self) -> bool:
        for _ in range(3):
            await asyncio.sleep(0)  # the turns that letting in takes
        return self.asking.done()

    async def charge(self) -> Charge:
        return await self.asking


@pytest.fixture
def room() -> Unsent:
    return Unsent(ALL_MAX, CONNECTION_MAX, PAGE)


async def test_g7_a_connection_has_as_many_pages_as_there_is_room_for(room: Unsent) -> None:
    pages = [Page(room, "a") for _ in range(4)]
    first = [await page.is_let_in() for page in pages]

    pages[0].context.end()

    assert first == [True, True, False, False]
    assert [await page.is_let_in() for page in pages] == [True, True, True, False]


async def test_a_page_takes_the_room_that_it_has_once_it_is_made(room: Unsent) -> None:
    pages = [Page(room, "a") for _ in range(3)]
    before = await pages[2].is_let_in()

    (await pages[0].charge()).settle(PAGE // 2)
    with_a_half = await pages[2].is_let_in()
    (await pages[1].charge()).settle(PAGE // 2)

    assert (before, with_a_half, await pages[2].is_let_in()) == (False, False, True)


async def test_g7_all_connections_together_have_as_many(room: Unsent) -> None:
    held = [Page(room, "a"), Page(room, "a"), Page(room, "b")]
    late = Page(room, "c")
    before = [await page.is_let_in() for page in [*held, late]]

    held[2].context.end()

    assert before == [True, True, True, False]
    assert await late.is_let_in()


async def test_a_connection_that_stands_still_holds_up_no_other(room: Unsent) -> None:
    stuck = [Page(room, "a") for _ in range(5)]
    assert [await page.is_let_in() for page in stuck] == [True, True, False, False, False]

    for _ in range(10):
        page = Page(room, "b")
        assert await page.is_let_in()
        page.context.end()


async def test_pages_are_let_in_in_the_order_in_which_they_were_asked_for(room: Unsent) -> None:
    pages = [Page(room, "a") for _ in range(4)]
    assert not await pages[2].is_let_in()

    pages[1].context.end()
    late = Page(room, "a")

    assert [await page.is_let_in() for page in [*pages[2:], late]] == [True, False, False]


async def test_who_goes_away_while_it_waits_takes_no_room(room: Unsent) -> None:
    pages = [Page(room, "a") for _ in range(4)]
    assert not await pages[2].is_let_in()

    pages[2].asking.cancel()
    await asyncio.wait([pages[2].asking])
    pages[0].context.end()
    let_in = await pages[3].is_let_in()
    pages[1].context.end()
    pages[3].context.end()

    assert let_in
    assert [await Page(room, "a").is_let_in() for _ in range(3)] == [True, True, False]


async def test_who_goes_away_in_the_turn_in_which_it_is_let_in_gives_its_room_back(
    room: Unsent,
) -> None:
    pages = [Page(room, "a") for _ in range(3)]
    assert not await pages[2].is_let_in()

    pages[0].context.end()
    pages[2].asking.cancel()
    await asyncio.wait([pages[2].asking])

    assert pages[2].asking.cancelled()
    assert await Page(room, "a").is_let_in()


async def test_g7_who_has_waited_for_long_is_told_which_limit_it_was(
    room: Unsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsent, "WAIT_SECONDS_MAX", 0.0)
    held = [Page(room, "a") for _ in range(2)]
    assert [await page.is_let_in() for page in held] == [True, True]

    with pytest.raises(Refused) as of_connection:
        await Page(room, "a").charge()
    assert await Page(room, "b").is_let_in()
    with pytest.raises(Refused) as of_all:
        await Page(room, "b").charge()

    assert (of_connection.value.metadata, of_all.value.metadata) == (
        {"bytes_max": "20", "limit": "connection_unsent_bytes_max"},
        {"bytes_max": "30", "limit": "unsent_bytes_max"},
    )


async def test_more_pages_at_once_than_there_is_room_for_are_all_given_to_who_takes_them() -> None:
    mib = 1024 * 1024
    with InProcessServer(journal="memory", connection_unsent_bytes_max=4 * mib) as server:
        async for wire in open_wire(server.address, "pages"):
            await wire.create_channel()
            await wire.run(*(post(f"p{n}") for n in range(1000)))

            async with asyncio.timeout(SECONDS_MAX):
                pages = await asyncio.gather(*(listed(wire) for _ in range(50)))

    assert [len(page.messages) for page in pages] == [1000] * 50


async def test_pages_of_calls_that_were_given_up_give_their_room_back() -> None:
    page = 4 * 1024 * 1024
    with InProcessServer(
        journal="memory", unsent_bytes_max=page, connection_unsent_bytes_max=page
    ) as server:
        async for wire in open_wire(server.address, "pages"):
            await wire.create_channel()
            await wire.run(*(post(f"p{n}", "x" * 1000) for n in range(1000)))
            given_up = [asyncio.create_task(listed(wire)) for _ in range(50)]
            await asyncio.wait(given_up, return_when=asyncio.FIRST_COMPLETED)
            for task in given_up:
                task.cancel()
            await asyncio.gather(*given_up, return_exceptions=True)

            async with asyncio.timeout(SECONDS_MAX):
                page_afterwards = await listed(wire)

    assert len(page_afterwards.messages) == 1000


async def listed(wire: Wire) -> ListMessagesResponse:
    request = ListMessagesRequest(channel_id=GENERAL, page_size=1000)
    return await wire.call("MessageService/ListMessages", request, ListMessagesResponse)
