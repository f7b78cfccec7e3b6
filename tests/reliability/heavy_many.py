"""Calls that are heavy because of what is there: tens of thousands of rows that no limit bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from google.protobuf.message import Message

from gapless.v1 import pool_reservations_pb2 as reservations
from gapless.v1 import pools_pb2 as pools
from gapless.v1 import reactions_pb2 as reactions
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import DeleteMessageRequest, PostMessageRequest
from tests.reliability.raw_calls import Calls

CHANNEL, MESSAGE, POOL, OWNER = "channel", "message", "pool", "ann"
# What one frame takes, and how many of them.
FRAME_COMMANDS: Final = 10_000
ROWS: Final = 6 * FRAME_COMMANDS
# Every so many-th number of the pool is held, so that there are as many runs of free ones.
EVERY: Final = 4
POOL_NUMBERS: Final = EVERY * ROWS
# As many numbers as a group has, and items as a page.
THOUSAND: Final = 1000
TTL_SECONDS: Final = 60


async def _send_all(calls: Calls, commands: Sequence[Message]) -> None:
    for start in range(0, len(commands), FRAME_COMMANDS):
        await calls.send(*commands[start : start + FRAME_COMMANDS])


async def a_message_with_60_000_reactions_deleted(calls: Calls) -> None:
    await calls.send(
        CreateChannelRequest(channel_id=CHANNEL),
        PostMessageRequest(
            channel_id=CHANNEL, message_id=MESSAGE, sender_id=OWNER, body=Body(data=b"hello")
        ),
    )
    # In no order, as people come: a prime that does not divide the number goes through all.
    users = [number * 7919 % ROWS for number in range(ROWS)]
    await _send_all(
        calls,
        [
            reactions.AddReactionRequest(
                channel_id=CHANNEL, message_id=MESSAGE, user_id=f"user-{user}", emoji="wave"
            )
            for user in users
        ],
    )
    await calls.begin()
    await calls.send(DeleteMessageRequest(channel_id=CHANNEL, message_id=MESSAGE))


async def _pool_with_holes(calls: Calls, ttl_seconds: int | None = None) -> None:
    """Makes a pool of which every few-th number is held."""
    span = pools.NumberRange(first=1, last=POOL_NUMBERS)
    await calls.send(pools.CreatePoolRequest(pool_id=POOL, ranges=[span]))
    await _send_all(
        calls,
        [
            reservations.ReserveNumberRequest(
                pool_id=POOL,
                owner_id=OWNER,
                key=f"k{number}",
                preferred_number=number,
                only_preferred=True,
                ttl_seconds=ttl_seconds,
            )
            for number in range(1, POOL_NUMBERS, EVERY)
        ],
    )
    await calls.begin()


async def _update(calls: Calls, span: pools.NumberRange) -> None:
    change = pools.UpdatePoolRequest(pool_id=POOL, ranges=[span])
    change.update_mask.paths.append("ranges")
    await calls.send(change)


async def ranges_without_any_of_60_000_held_numbers(calls: Calls) -> None:
    await _pool_with_holes(calls)
    await _update(calls, pools.NumberRange(first=2 * POOL_NUMBERS, last=3 * POOL_NUMBERS))


async def ranges_that_have_60_000_held_numbers_again(calls: Calls) -> None:
    await ranges_without_any_of_60_000_held_numbers(calls)
    await calls.begin()
    await _update(calls, pools.NumberRange(first=1, last=POOL_NUMBERS))


async def _preview(calls: Calls, *gone: str) -> Any:
    request = pools.PreviewCleanUpRequest(pool_id=POOL, gone_owner_ids=gone, page_size=THOUSAND)
    return await calls.ask("PoolService/PreviewCleanUp", request, pools.PreviewCleanUpResponse)


async def a_preview_that_finds_none_of_60_000_dead(calls: Calls) -> None:
    await _pool_with_holes(calls, TTL_SECONDS)
    assert not (await _preview(calls, "nobody")).reservations


async def a_preview_that_finds_60_000_dead(calls: Calls) -> None:
    await _pool_with_holes(calls, TTL_SECONDS)
    await calls.advance(TTL_SECONDS + 1)
    assert len((await _preview(calls, "nobody")).reservations) == THOUSAND


async def a_preview_of_an_owner_of_60_000_who_is_gone(calls: Calls) -> None:
    await _pool_with_holes(calls)
    assert len((await _preview(calls, OWNER)).reservations) == THOUSAND


async def a_check_of_a_pool_of_60_000(calls: Calls) -> None:
    await _pool_with_holes(calls)
    request = pools.CheckPoolRequest(pool_id=POOL)
    assert (await calls.ask("PoolService/CheckPool", request, pools.CheckPoolResponse)).ok


async def a_release_of_an_owner_of_60_000(calls: Calls) -> None:
    await _pool_with_holes(calls)
    await calls.send(reservations.ReleaseOwnerRequest(pool_id=POOL, owner_id=OWNER))


async def a_clean_up_of_60_000_expired(calls: Calls) -> None:
    await _pool_with_holes(calls, TTL_SECONDS)
    await calls.advance(TTL_SECONDS + 1)
    await calls.send(pools.CleanUpPoolRequest(pool_id=POOL))


async def a_group_in_a_row_that_a_sweep_makes_room_for(calls: Calls) -> None:
    await _pool_with_holes(calls, TTL_SECONDS)
    await calls.advance(TTL_SECONDS + 1)
    await calls.send(
        reservations.ReserveGroupRequest(
            pool_id=POOL, owner_id="bob", key="g", count=THOUSAND, contiguous=True
        )
    )


async def a_number_that_a_sweep_makes_room_for(calls: Calls) -> None:
    span = pools.NumberRange(first=1, last=ROWS)
    await calls.send(pools.CreatePoolRequest(pool_id=POOL, ranges=[span]))
    every: list[Message] = [
        reservations.ReserveNumberRequest(
            pool_id=POOL, owner_id=OWNER, key=f"k{number}", ttl_seconds=TTL_SECONDS
        )
        for number in range(ROWS)
    ]
    await _send_all(calls, every)
    await calls.advance(TTL_SECONDS + 1)
    await calls.begin()
    await calls.send(reservations.ReserveNumberRequest(pool_id=POOL, owner_id="bob", key="n"))


async def _reserve_offsets(calls: Calls, offsets: Sequence[int]) -> str:
    """Returns why it was refused, or nothing."""
    await _pool_with_holes(calls)
    request = reservations.ReserveGroupRequest(
        pool_id=POOL, owner_id="bob", key="g", offsets=offsets
    )
    [result] = await calls.wire.run(calls.command(request))
    return result.error.reason


async def a_group_of_1_000_numbers_far_apart(calls: Calls) -> None:
    assert not await _reserve_offsets(calls, range(0, THOUSAND * EVERY, EVERY))


async def a_group_of_offsets_far_apart_that_fits_nowhere(calls: Calls) -> None:
    # Wherever it begins, one of the last few would be a number that is held.
    last = THOUSAND * EVERY
    few = [last + step * EVERY + step for step in range(1, EVERY)]
    reason = await _reserve_offsets(calls, [*range(0, last - EVERY * EVERY, EVERY), *few])
    assert reason == "POOL_FRAGMENTED"


async def a_batch_of_groups_that_is_refused(calls: Calls) -> None:
    await _pool_with_holes(calls)
    members: list[Message] = [
        reservations.ReserveGroupRequest(
            pool_id=POOL, owner_id="bob", key=f"g{number}", count=THOUSAND
        )
        for number in range(25)
    ]
    members.append(DeleteMessageRequest(channel_id="none", message_id="none"))
    [result] = await calls.wire.run(calls.batch_of(members))
    assert result.error.reason == "CHANNEL_NOT_FOUND"


MANY_ROWS: Final[Sequence[Callable[[Calls], Awaitable[None]]]] = (
    a_message_with_60_000_reactions_deleted,
    ranges_without_any_of_60_000_held_numbers,
    ranges_that_have_60_000_held_numbers_again,
    a_preview_that_finds_none_of_60_000_dead,
    a_preview_that_finds_60_000_dead,
    a_preview_of_an_owner_of_60_000_who_is_gone,
    a_check_of_a_pool_of_60_000,
    a_release_of_an_owner_of_60_000,
    a_clean_up_of_60_000_expired,
    a_group_in_a_row_that_a_sweep_makes_room_for,
    a_number_that_a_sweep_makes_room_for,
    a_group_of_1_000_numbers_far_apart,
    a_group_of_offsets_far_apart_that_fits_nowhere,
    a_batch_of_groups_that_is_refused,
)
