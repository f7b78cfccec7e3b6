"""The heaviest calls of every kind that the limits allow, each after what it needs to be heavy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from google.protobuf.message import Message

from gapless.v1 import config_pb2, erasures_pb2, events_pb2, ledgers_pb2, lists_pb2, locks_pb2
from gapless.v1 import messages_pb2 as messages
from gapless.v1 import pool_reservations_pb2 as reservations
from gapless.v1 import pools_pb2 as pools
from gapless.v1.channels_pb2 import ChannelHeadGuard, CreateChannelRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.guards_pb2 import Guard
from tests.reliability.heavy_many import MANY_ROWS
from tests.reliability.raw_calls import Calls
from tests.rpc.wire import frame

CHANNEL, LIST, POOL, OWNER = "channel", "list", "pool", "ann"
MANY: Final = 10_000
# As many members as a batch has, items as a page, numbers as a group, and legs as a transfer.
THOUSAND: Final = 1000
# Every so many-th number of the pool is held, so that no large group fits in a row.
EVERY: Final = 4
POOL_NUMBERS: Final = EVERY * MANY
TTL_SECONDS: Final = 60
# How many posts of the largest size, nearly, a frame has room for.
LARGE_POSTS, LARGE_BODY_BYTES = 250, 60_000
PAGE_BODY_BYTES: Final = 3000
ITEM: Final = Body(data=b"item")
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024 - 100


def posts(count: int, body_bytes: int = 100) -> list[Message]:
    body = Body(data=bytes(body_bytes))
    return [
        messages.PostMessageRequest(channel_id=CHANNEL, sender_id=OWNER, body=body)
        for _ in range(count)
    ]


async def _pool_with_holes(calls: Calls, ttl_seconds: int | None = None) -> None:
    """Makes a pool of which every few-th number is held, MANY in all."""
    span = pools.NumberRange(first=1, last=POOL_NUMBERS)
    await calls.send(pools.CreatePoolRequest(pool_id=POOL, ranges=[span]))
    held = [
        reservations.ReserveNumberRequest(
            pool_id=POOL,
            owner_id=OWNER,
            key=f"k{number}",
            preferred_number=number,
            only_preferred=True,
            ttl_seconds=ttl_seconds,
        )
        for number in range(1, POOL_NUMBERS, EVERY)
    ]
    await calls.send(*held)
    await calls.begin()


async def a_frame_of_10_000_posts(calls: Calls) -> None:
    await calls.send(CreateChannelRequest(channel_id=CHANNEL))
    await calls.begin()
    await calls.send(*posts(MANY))


async def a_frame_of_the_largest_bodies(calls: Calls) -> None:
    await calls.send(CreateChannelRequest(channel_id=CHANNEL))
    await calls.begin()
    await calls.send(*posts(LARGE_POSTS, LARGE_BODY_BYTES))


async def a_frame_of_empty_commands(calls: Calls) -> None:
    pipeline = calls.wire.pipeline()
    await pipeline.send(b"\x0a\x00" * (FRAME_BYTES_MAX // 2))
    assert (await pipeline.refusal()).reason == "FRAME_TOO_LARGE"


async def a_frame_cut_off(calls: Calls) -> None:
    pipeline = calls.wire.pipeline()
    await pipeline.send(b"\xf8\x07\x00" * (FRAME_BYTES_MAX // 3) + b"\x0a")
    await pipeline.refusal()


async def a_batch_of_1_000_posts_under_guards(calls: Calls) -> None:
    await calls.send(CreateChannelRequest(channel_id=CHANNEL))
    head = Guard(channel_head=ChannelHeadGuard(channel_id=CHANNEL, head_sequence=0))
    await calls.begin()
    await calls.batch(posts(THOUSAND), [head])


async def a_batch_of_groups(calls: Calls) -> None:
    await _pool_with_holes(calls)
    groups = [
        reservations.ReserveGroupRequest(
            pool_id=POOL, owner_id="bob", key=f"g{number}", count=THOUSAND
        )
        for number in range(25)
    ]
    await calls.batch(groups)


async def a_group_of_1_000_numbers(calls: Calls) -> None:
    await _pool_with_holes(calls)
    await calls.send(
        reservations.ReserveGroupRequest(pool_id=POOL, owner_id="bob", key="g", count=THOUSAND)
    )


async def a_group_of_offsets_that_fits_nowhere(calls: Calls) -> None:
    await _pool_with_holes(calls)
    request = reservations.ReserveGroupRequest(
        pool_id=POOL, owner_id="bob", key="g", offsets=range(THOUSAND)
    )
    [result] = await calls.wire.run(calls.command(request))
    assert result.error.reason == "POOL_FRAGMENTED"


async def a_contiguous_group_that_fits_nowhere(calls: Calls) -> None:
    await _pool_with_holes(calls)
    request = reservations.ReserveGroupRequest(
        pool_id=POOL, owner_id="bob", key="g", count=THOUSAND, contiguous=True
    )
    [result] = await calls.wire.run(calls.command(request))
    assert result.error.reason == "POOL_FRAGMENTED"


async def a_check_of_a_pool(calls: Calls) -> None:
    await _pool_with_holes(calls)
    request = pools.CheckPoolRequest(pool_id=POOL)
    assert (await calls.ask("PoolService/CheckPool", request, pools.CheckPoolResponse)).ok


async def a_change_of_ranges(calls: Calls) -> None:
    await _pool_with_holes(calls)
    spans = [
        pools.NumberRange(first=first, last=first + 1)
        for first in range(1, POOL_NUMBERS, POOL_NUMBERS // THOUSAND)
    ]
    change = pools.UpdatePoolRequest(pool_id=POOL, ranges=spans)
    change.update_mask.paths.append("ranges")
    await calls.send(change)


async def a_release_of_all_that_an_owner_holds(calls: Calls) -> None:
    await _pool_with_holes(calls)
    await calls.send(reservations.ReleaseOwnerRequest(pool_id=POOL, owner_id=OWNER))


async def a_clean_up_of_10_000_expired(calls: Calls) -> None:
    await _pool_with_holes(calls, TTL_SECONDS)
    await calls.advance(TTL_SECONDS + 1)
    await calls.send(pools.CleanUpPoolRequest(pool_id=POOL))


async def ten_thousand_locks_that_end_at_once(calls: Calls) -> None:
    locks: list[Message] = [
        locks_pb2.AcquireLockRequest(
            lock_id=f"lock-{number}", holder_id=OWNER, ttl_seconds=TTL_SECONDS
        )
        for number in range(MANY)
    ]
    await calls.send(*locks)
    await calls.begin()
    await calls.advance(TTL_SECONDS + 1)
    await calls.send(CreateChannelRequest(channel_id=CHANNEL))


async def _long_list(calls: Calls) -> list[str]:
    await calls.send(lists_pb2.CreateListRequest(list_id=LIST))
    names = [f"item-{number}" for number in range(MANY)]
    for start in range(0, MANY, THOUSAND):
        items = [
            lists_pb2.NewListItem(item_id=name, body=ITEM)
            for name in names[start : start + THOUSAND]
        ]
        await calls.send(lists_pb2.InsertListItemsRequest(list_id=LIST, items=items))
    await calls.begin()
    return names


async def a_list_of_10_000_items_in_another_order(calls: Calls) -> None:
    names = await _long_list(calls)
    await calls.send(lists_pb2.ReorderListRequest(list_id=LIST, item_ids=names[::-1]))


async def a_list_of_10_000_items_inserted_at_once(calls: Calls) -> None:
    await calls.send(lists_pb2.CreateListRequest(list_id=LIST))
    items = [lists_pb2.NewListItem(item_id=f"item-{number}", body=ITEM) for number in range(MANY)]
    await calls.begin()
    await calls.send(lists_pb2.InsertListItemsRequest(list_id=LIST, items=items))


async def a_list_of_10_000_items_read_whole(calls: Calls) -> None:
    await _long_list(calls)
    await calls.ask(
        "ListService/GetList", lists_pb2.GetListRequest(list_id=LIST), lists_pb2.GetListResponse
    )


async def a_list_of_10_000_items_deleted(calls: Calls) -> None:
    await _long_list(calls)
    await calls.send(lists_pb2.DeleteListRequest(list_id=LIST))


async def a_thousand_keys_of_configuration(calls: Calls) -> None:
    writes = [
        config_pb2.ConfigWrite(key=f"key/{number}", body=Body(data=bytes(1500)))
        for number in range(THOUSAND)
    ]
    await calls.send(config_pb2.SetConfigRequest(writes=writes))


async def a_transfer_between_1_000_accounts(calls: Calls) -> None:
    names = [f"account-{number}" for number in range(THOUSAND)]
    await calls.send(
        *(ledgers_pb2.CreateAccountRequest(account_id=name, unit="cent") for name in names)
    )
    legs = [
        ledgers_pb2.TransferLeg(account_id=name, amount=1 if number % 2 else -1)
        for number, name in enumerate(names)
    ]
    await calls.begin()
    await calls.send(ledgers_pb2.TransferRequest(legs=legs))


def _erasure() -> Message:
    return erasures_pb2.RedactUserRequest(channel_id=CHANNEL, sender_id=OWNER, requested_by="admin")


async def an_erasure_out_of_a_round_of_the_largest_bodies(calls: Calls) -> None:
    await a_frame_of_the_largest_bodies(calls)
    await calls.begin()
    await calls.send(_erasure())


async def an_erasure_out_of_a_round_of_10_000(calls: Calls) -> None:
    await a_frame_of_10_000_posts(calls)
    await calls.begin()
    await calls.send(_erasure())


async def a_page_of_1_000_messages(calls: Calls) -> None:
    await calls.send(CreateChannelRequest(channel_id=CHANNEL))
    for _ in range(4):
        await calls.send(*posts(THOUSAND // 4, PAGE_BODY_BYTES))
    await calls.begin()
    request = messages.ListMessagesRequest(channel_id=CHANNEL, page_size=THOUSAND)
    await calls.ask("MessageService/ListMessages", request, messages.ListMessagesResponse)


async def a_page_of_1_000_reservations(calls: Calls) -> None:
    await _pool_with_holes(calls)
    request = reservations.ListReservationsRequest(pool_id=POOL, page_size=THOUSAND)
    await calls.ask(
        "ReservationService/ListReservations", request, reservations.ListReservationsResponse
    )


async def a_page_of_1_000_events(calls: Calls) -> None:
    await a_frame_of_10_000_posts(calls)
    await calls.begin()
    request = events_pb2.ReadEventsRequest(page_size=THOUSAND)
    await calls.ask("EventService/ReadEvents", request, events_pb2.ReadEventsResponse)


async def a_page_of_events_that_a_filter_leaves_out(calls: Calls) -> None:
    await a_frame_of_10_000_posts(calls)
    await calls.begin()
    nothing = events_pb2.EventFilter(channel_ids=["another"])
    request = events_pb2.ReadEventsRequest(page_size=THOUSAND, filter=nothing)
    await calls.ask("EventService/ReadEvents", request, events_pb2.ReadEventsResponse)


async def a_watch_of_a_long_log(calls: Calls) -> None:
    await a_frame_of_10_000_posts(calls)
    await calls.begin()
    stream = calls.wire.stream("EventService/Watch", events_pb2.WatchRequest(from_start=True))
    async for data in stream:
        if events_pb2.WatchResponse.FromString(data).HasField("caught_up"):
            break
    stream.cancel()


async def an_answer_of_a_frame_of_10_000_given_again(calls: Calls) -> None:
    await calls.send(CreateChannelRequest(channel_id=CHANNEL))
    again = frame(*(calls.command(one) for one in posts(MANY)))
    await calls.begin()
    for _ in range(2):
        pipeline = calls.wire.pipeline()
        await pipeline.send(again)
        assert len(await pipeline.results()) == MANY
        await pipeline.end()


Heavy = Callable[[Calls], Awaitable[None]]

HEAVY: Final[Sequence[Heavy]] = (
    a_frame_of_10_000_posts,
    a_frame_of_the_largest_bodies,
    a_frame_of_empty_commands,
    a_frame_cut_off,
    an_answer_of_a_frame_of_10_000_given_again,
    a_batch_of_1_000_posts_under_guards,
    a_batch_of_groups,
    a_group_of_1_000_numbers,
    a_group_of_offsets_that_fits_nowhere,
    a_contiguous_group_that_fits_nowhere,
    a_check_of_a_pool,
    a_change_of_ranges,
    a_release_of_all_that_an_owner_holds,
    a_clean_up_of_10_000_expired,
    ten_thousand_locks_that_end_at_once,
    a_list_of_10_000_items_inserted_at_once,
    a_list_of_10_000_items_in_another_order,
    a_list_of_10_000_items_read_whole,
    a_list_of_10_000_items_deleted,
    a_thousand_keys_of_configuration,
    a_transfer_between_1_000_accounts,
    an_erasure_out_of_a_round_of_the_largest_bodies,
    an_erasure_out_of_a_round_of_10_000,
    a_page_of_1_000_messages,
    a_page_of_1_000_reservations,
    a_page_of_1_000_events,
    a_page_of_events_that_a_filter_leaves_out,
    a_watch_of_a_long_log,
    *MANY_ROWS,
)

# A few that take little time to prepare.
QUICK: Final[Sequence[Heavy]] = (
    a_frame_of_10_000_posts,
    a_frame_of_empty_commands,
    a_frame_cut_off,
    a_batch_of_1_000_posts_under_guards,
    a_thousand_keys_of_configuration,
)
