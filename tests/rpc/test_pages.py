"""Pages join without hole and without double, and a token leads on in its own list alone."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from gapless.v1.channels_pb2 import ListChannelsRequest, ListChannelsResponse
from gapless.v1.commands_pb2 import Command
from gapless.v1.memberships_pb2 import (
    JoinChannelRequest,
    ListMembershipsRequest,
    ListMembersRequest,
    ListMembersResponse,
)
from gapless.v1.messages_pb2 import (
    LIST_ORDER_ASCENDING,
    LIST_ORDER_DESCENDING,
    ListMessagesRequest,
    ListMessagesResponse,
)
from tests.rpc.wire import GENERAL, Wire, post

LIST_MESSAGES = "MessageService/ListMessages"
NOT_OURS = {"page_token": "is not a next_page_token of this query; begin without it"}


@pytest.fixture
async def filled(wire: Wire) -> Wire:
    """A channel of ten messages."""
    await wire.create_channel()
    await wire.run(*(post(f"p{n}") for n in range(10)))
    return wire


async def page(wire: Wire, **fields: Any) -> ListMessagesResponse:
    request = ListMessagesRequest(channel_id=GENERAL, **fields)
    return await wire.call(LIST_MESSAGES, request, ListMessagesResponse)


def listed(response: ListMessagesResponse) -> list[int]:
    return [message.sequence for message in response.messages]


@pytest.mark.parametrize("order", [LIST_ORDER_ASCENDING, LIST_ORDER_DESCENDING])
@pytest.mark.parametrize("page_size", [1, 3, 10, 11])
async def test_pages_join_in_either_order(filled: Wire, order: int, page_size: int) -> None:
    seen, token = [], ""
    for _ in range(20):
        response = await page(filled, order=order, page_size=page_size, page_token=token)
        assert len(response.messages) <= page_size
        seen += listed(response)
        token = response.next_page_token
        if not token:
            break

    ascending = list(range(1, 11))
    assert seen == (ascending if order == LIST_ORDER_ASCENDING else ascending[::-1])


async def test_a_page_is_as_large_as_asked_but_not_larger_than_the_service_allows(
    filled: Wire,
) -> None:
    await filled.run(*(post(f"q{n}") for n in range(1_000)))

    sizes = {size: len((await page(filled, page_size=size)).messages) for size in (0, 1, 2**31 - 1)}

    assert sizes == {0: 100, 1: 1, 2**31 - 1: 1_000}


async def test_a_page_of_large_messages_is_cut_short_and_leads_on(wire: Wire) -> None:
    await wire.create_channel()
    await wire.run(*(post(f"p{n}", "x" * 60_000) for n in range(100)))

    first = await page(wire, page_size=100)
    rest = await page(wire, page_size=100, page_token=first.next_page_token)

    assert first.ByteSize() < 4 * 1024 * 1024
    assert 0 < len(first.messages) < 100
    assert listed(first) + listed(rest) == list(range(1, 101))
    assert rest.next_page_token == ""


async def test_a_list_may_be_read_on_while_others_write(filled: Wire) -> None:
    first = await page(filled, page_size=5)
    await filled.run(*(post(f"q{n}") for n in range(5)))
    rest = await page(filled, page_size=100, page_token=first.next_page_token)

    assert listed(first) + listed(rest) == list(range(1, 16))


@pytest.mark.parametrize(
    "token", ["x", "===", "not base64!", "AAAA", "a" * 5000, "ü", "kgEB", "kgGhYQ=="]
)
async def test_a_token_that_is_garbage_is_refused_naming_the_field(
    filled: Wire, token: str
) -> None:
    request = ListMessagesRequest(channel_id=GENERAL, page_token=token)

    refusal = await filled.refusal(LIST_MESSAGES, request)

    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", NOT_OURS)


async def test_a_token_of_another_query_is_refused(filled: Wire) -> None:
    await filled.create_channel("other")
    token = (await page(filled, page_size=2)).next_page_token
    others = [
        ListMessagesRequest(channel_id="other", page_token=token),
        ListMessagesRequest(channel_id=GENERAL, page_token=token, order=LIST_ORDER_DESCENDING),
        ListMessagesRequest(channel_id=GENERAL, page_token=token, start_sequence=1),
    ]

    for request in others:
        assert (await filled.refusal(LIST_MESSAGES, request)).fields == NOT_OURS
    again = await page(filled, page_size=3, page_token=token)
    assert listed(again) == [3, 4, 5]  # the size of a page may change on the way


async def test_a_token_of_another_method_is_refused(wire: Wire) -> None:
    for name in ("a", "b", "c"):
        await wire.create_channel(name)
        join = JoinChannelRequest(request_id=f"j{name}", channel_id="a", user_id=name)
        await wire.run(Command(join_channel=join))
    channels = await wire.call(
        "ChannelService/ListChannels", ListChannelsRequest(page_size=1), ListChannelsResponse
    )
    members = await wire.call(
        "MembershipService/ListMembers",
        ListMembersRequest(channel_id="a", page_size=1),
        ListMembersResponse,
    )

    crossed = [
        await wire.refusal(
            "MembershipService/ListMembers",
            ListMembersRequest(channel_id="a", page_token=channels.next_page_token),
        ),
        await wire.refusal(
            "MembershipService/ListMemberships",
            ListMembershipsRequest(user_id="a", page_token=members.next_page_token),
        ),
    ]

    assert [refusal.fields for refusal in crossed] == [NOT_OURS, NOT_OURS]


@pytest.mark.parametrize("key", [-(2**63), -1, 0, 11, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("order", [LIST_ORDER_ASCENDING, LIST_ORDER_DESCENDING])
async def test_a_token_made_up_for_a_place_that_is_not_there_does_no_harm(
    filled: Wire, key: int, order: int
) -> None:
    """Tokens are no secrets: who makes one up gets a page from there on, and no fault."""
    token = (await page(filled, page_size=1, order=order)).next_page_token
    digest, _last = msgspec.msgpack.decode(base64.urlsafe_b64decode(token))
    made_up = base64.urlsafe_b64encode(msgspec.msgpack.encode((digest, key))).decode()

    response = await page(filled, order=order, page_token=made_up)

    ascending = order == LIST_ORDER_ASCENDING
    expected = [n for n in range(1, 11) if (n > key if ascending else n < key)]
    assert listed(response) == (expected if ascending else expected[::-1])
