"""Reserves numbers: decides which ones, and what has to be swept for them."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from gapless.v1 import errors_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kernel import Context, Decision, Steps
from gapless_server.core.kinds.pools.asks import (
    CONTIGUOUS,
    OFFSETS,
    SINGLE,
    Ask,
    ask_for_group,
    ask_for_number,
    describe_row,
)
from gapless_server.core.kinds.pools.choose import Choice, choose
from gapless_server.core.kinds.pools.free import Free, ListedFree, TableFree
from gapless_server.core.kinds.pools.ranges import all_within, from_number, joined, numbers_in
from gapless_server.core.kinds.pools.release import Ending, released_event
from gapless_server.core.kinds.pools.sweep import sweep
from gapless_server.core.kinds.pools.swept import swept_free
from gapless_server.core.kinds.pools.tables import (
    PoolRow,
    ReservationRow,
    pool_counts,
    pool_tables,
    require_pool,
)
from gapless_server.core.plain import plain
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.core.steps import InSteps
from gapless_server.core.times import MICROSECONDS, optional_timestamp

# Single numbers are reserved most, by many at once.
ReserveNumberRequest = plain(pb.ReserveNumberRequest)
ReserveNumberResponse = plain(pb.ReserveNumberResponse)
NumbersReserved = plain(pb.NumbersReserved)

Command = pb.ReserveNumberRequest | pb.ReserveGroupRequest


class Outcome(NamedTuple):
    """What reserving led to."""

    choice: Choice
    expire_time_us: int
    already_held: bool
    events: tuple[pb.ReservationsReleased | pb.NumbersReserved, ...] = ()


@InSteps
def reserve_number(state: State, command: pb.ReserveNumberRequest, context: Context) -> Steps:
    """Decides ReserveNumber."""
    pool = require_pool(state, command.pool_id)
    ask = ask_for_number(command, pool)
    outcome = yield from _reserve(state, command, context, pool, ask)
    response = ReserveNumberResponse(
        number=outcome.choice.runs[0].first,
        already_held=outcome.already_held,
        expire_time=optional_timestamp(outcome.expire_time_us),
    )
    return Decision(outcome.events, response)


@InSteps
def reserve_group(state: State, command: pb.ReserveGroupRequest, context: Context) -> Steps:
    """Decides ReserveGroup."""
    pool = require_pool(state, command.pool_id)
    ask = ask_for_group(command, pool)
    outcome = yield from _reserve(state, command, context, pool, ask)
    base = outcome.choice.base
    response = pb.ReserveGroupResponse(
        numbers=numbers_in(outcome.choice.runs),
        already_held=outcome.already_held,
        base=None if base < 0 else base,
        expire_time=optional_timestamp(outcome.expire_time_us),
    )
    return Decision(outcome.events, response)


def _reserve(
    state: State, command: Command, context: Context, pool: PoolRow, ask: Ask
) -> Generator[None, None, Outcome]:
    now = context.moment
    pool_id, holder = command.pool_id, (command.owner_id, command.key)
    row = pool_tables(state).reservations.get(pool_id, holder)
    if row is not None and not row.expired(now.uptime_us):
        if not ask.matches(row):
            raise _differs(command, row, ask)
        held_until_us = now.time_at(row.end_uptime_us) if row.end_uptime_us else 0
        return Outcome(Choice(row.runs, row.base), held_until_us, already_held=True)
    own = [] if row is None else [Ending(holder, row, pb.RELEASE_CAUSE_EXPIRED)]
    if row is not None and _fits_again(pool, ask, row):
        endings, choice = own, Choice(row.runs, row.base)
    else:
        endings, choice = yield from _choose_swept(state, pool_id, pool, ask, own, now.uptime_us)
    # The field's rule leaves no time to live of 0.
    ttl_seconds = command.ttl_seconds
    expire_time_us = now.time_us + ttl_seconds * MICROSECONDS if ttl_seconds else 0
    reserved = NumbersReserved(
        pool_id=pool_id,
        owner_id=holder[0],
        key=holder[1],
        numbers=numbers_in(choice.runs),
        shape=ask.shape,
        base=None if choice.base < 0 else choice.base,
        expire_time=optional_timestamp(expire_time_us),
    )
    events = (released_event(pool_id, endings), reserved) if endings else (reserved,)
    return Outcome(choice, expire_time_us, False, events)


def _fits_again(pool: PoolRow, ask: Ask, row: ReservationRow) -> bool:
    """Says whether an expired reservation's numbers can be given to its owner again."""
    return (
        not pool.gap_free
        and ask.matches(row)
        and ask.preferred in (-1, row.runs[0].first)
        and all_within(row.runs, pool.allowed) == row.runs
    )


def _choose_swept(
    state: State, pool_id: str, pool: PoolRow, ask: Ask, own: list[Ending], uptime_us: int
) -> Generator[None, None, tuple[list[Ending], Choice]]:
    """Returns what to sweep, which is `own` if that is enough, and the numbers to give then.

    Raises Refused, with the counts after a sweep, if nothing of that helps.
    """
    tables = pool_tables(state)
    # Those that are gone through for it.
    if ask.shape != SINGLE:
        yield from tables.free.order_in_steps(pool_id)
    if ask.shape in (CONTIGUOUS, OFFSETS):
        yield from tables.free_lengths.order_in_steps(pool_id)
    try:
        free = yield from _free(state, pool_id, pool, own)
        choice = yield from choose(state, pool_id, pool, free, ask)
        return own, choice
    except Refused:
        own_holders = {ending.holder for ending in own}
        due = yield from sweep(state, pool_id, pool, ask.named(), uptime_us)
        others = [ending for ending in due if ending.holder not in own_holders]
        # The numbers of a gap-free pool become void, so that a sweep gives it none.
        if pool.gap_free or not others:
            raise
    swept = own + others
    free = yield from _free(state, pool_id, pool, swept)
    choice = yield from choose(state, pool_id, pool, free, ask)
    return swept, choice


def _free(
    state: State, pool_id: str, pool: PoolRow, released: list[Ending]
) -> Generator[None, None, Free]:
    """Returns what is free, or would be once something is released."""
    counts = pool_counts(state, pool_id)
    if pool.gap_free:
        return ListedFree(tuple(from_number(pool.allowed, counts.last_number + 1)), ())
    table_free = TableFree(pool_tables(state), pool_id, pool, counts)
    if not released:
        return table_free
    back = (run for ending in released for run in all_within(ending.row.runs, pool.allowed))
    return (yield from swept_free(table_free, pool, joined(back)))


def _differs(command: Command, row: ReservationRow, ask: Ask) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_RESERVATION_DIFFERS,
        pool_id=command.pool_id,
        owner_id=command.owner_id,
        key=command.key,
        found=describe_row(row),
        expected=ask.describe(),
    )
