"""Changes the tables of pools by what happened."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import msgspec

from gapless.v1 import pool_reservations_pb2 as pb
from gapless.v1 import pools_pb2
from gapless_server.core.kinds.pools.ranges import (
    Run,
    Runs,
    all_within,
    runs_from,
    runs_of,
    size,
)
from gapless_server.core.kinds.pools.rebuild import held_outside, held_runs, rebuild_free
from gapless_server.core.kinds.pools.tables import (
    ALL,
    HeldRow,
    Holder,
    PoolCounts,
    PoolRow,
    PoolTables,
    ReservationRow,
    VoidRow,
    give_to_free,
    pool_counts,
    pool_row,
    pool_tables,
    require_pool,
    require_row,
    take_from_free,
)
from gapless_server.core.state import Moment, State
from gapless_server.core.steps import InSteps, let_go, whole_answer
from gapless_server.core.times import from_timestamp

# For each run of a group the free one that it lies in is looked for, maybe on the disk.
_RUNS_BETWEEN_PAUSES: Final = 50


def pool_created(state: State, event: pools_pb2.PoolCreated, moment: Moment) -> None:
    """A pool begins with nothing held."""
    tables = pool_tables(state)
    pool = pool_row(
        runs_from(event.ranges),
        runs_from(event.exclusions),
        tuple(event.preferred_numbers),
        gap_free=event.gap_free,
        create_time_us=moment.time_us,
        update_time_us=moment.time_us,
    )
    tables.pools.put(ALL, event.pool_id, pool)
    first_free = whole_answer(rebuild_free(tables, event.pool_id, pool, ()))
    tables.counts.put(event.pool_id, PoolCounts(first_free=first_free))


@InSteps
def pool_updated(
    state: State, event: pools_pb2.PoolUpdated, moment: Moment
) -> Generator[None, None, None]:
    """What is held stays held, inside the new range or not."""
    tables = pool_tables(state)
    old = require_pool(state, event.pool_id)
    pool = pool_row(
        runs_from(event.ranges),
        runs_from(event.exclusions),
        tuple(event.preferred_numbers),
        gap_free=old.gap_free,
        create_time_us=old.create_time_us,
        update_time_us=moment.time_us,
    )
    held = yield from held_runs(tables, event.pool_id)
    outside = yield from held_outside(held, pool)
    first_free = yield from rebuild_free(tables, event.pool_id, pool, held)
    counts = pool_counts(state, event.pool_id)
    counts = msgspec.structs.replace(counts, outside=outside, first_free=first_free)
    tables.pools.put(ALL, event.pool_id, pool)
    tables.counts.put(event.pool_id, counts)
    yield from let_go(held)


@InSteps
def numbers_reserved(
    state: State, event: pb.NumbersReserved, moment: Moment
) -> Generator[None, None, None]:
    """The numbers are no longer free; a gap-free pool has moved on to the last of them."""
    pool_id = event.pool_id
    tables, pool = pool_tables(state), require_pool(state, pool_id)
    holder = (event.owner_id, event.key)
    numbers = event.numbers
    runs = (Run(numbers[0], numbers[0]),) if len(numbers) == 1 else runs_of(numbers)
    row = ReservationRow(
        runs=runs,
        shape=event.shape,
        base=event.base if event.HasField("base") else -1,
        position=moment.position,
        create_time_us=moment.time_us,
        end_uptime_us=_end_us(event, moment) if event.HasField("expire_time") else 0,
    )
    tables.reservations.put(pool_id, holder, row)
    if row.end_uptime_us:
        tables.expiries.put(pool_id, (row.end_uptime_us, *holder), True)
    counts = pool_counts(state, pool_id)
    first_free = counts.first_free
    for index, run in enumerate(runs, start=1):
        if index % _RUNS_BETWEEN_PAUSES == 0:
            yield
        tables.held.put(pool_id, run.last, HeldRow(run.first, holder))
        if not pool.gap_free:
            first_free = take_from_free(tables, pool_id, pool, first_free, run)
    counts = msgspec.structs.replace(
        counts,
        held=counts.held + len(numbers),
        reservations=counts.reservations + 1,
        last_number=runs[-1].last if pool.gap_free else -1,
        first_free=first_free,
    )
    tables.counts.put(pool_id, counts)


def reservation_confirmed(state: State, event: pb.ReservationConfirmed, _moment: Moment) -> None:
    """The time to live is gone."""
    _set_expiry(pool_tables(state), event.pool_id, (event.owner_id, event.key), 0)


def reservation_renewed(state: State, event: pb.ReservationRenewed, moment: Moment) -> None:
    """The time to live ends later."""
    holder = (event.owner_id, event.key)
    _set_expiry(pool_tables(state), event.pool_id, holder, _end_us(event, moment))


def _end_us(event: pb.NumbersReserved | pb.ReservationRenewed, moment: Moment) -> int:
    """Returns the end of a time to live in uptime, which no clock that jumps can bring near."""
    return moment.uptime_at(from_timestamp(event.expire_time))


def _set_expiry(tables: PoolTables, pool_id: str, holder: Holder, end_uptime_us: int) -> None:
    row = require_row(tables, pool_id, holder)
    if row.end_uptime_us:
        tables.expiries.delete(pool_id, (row.end_uptime_us, *holder))
    if end_uptime_us:
        tables.expiries.put(pool_id, (end_uptime_us, *holder), True)
    row = msgspec.structs.replace(row, end_uptime_us=end_uptime_us)
    tables.reservations.put(pool_id, holder, row)


@InSteps
def reservations_released(
    state: State, event: pb.ReservationsReleased, moment: Moment
) -> Generator[None, None, None]:
    """The numbers are free again as far as the range still has them; void if gap-free."""
    tables, pool = pool_tables(state), require_pool(state, event.pool_id)
    for ended in event.reservations:
        holder = (ended.owner_id, ended.key)
        row = require_row(tables, event.pool_id, holder)
        _forget(tables, event.pool_id, holder, row)
        counts = _without(pool_counts(state, event.pool_id), pool, row.runs)
        if pool.gap_free:
            void = VoidRow(holder, row.create_time_us, moment.time_us, ended.cause)
            for number in ended.numbers:
                tables.voids.put(event.pool_id, number, void)
        else:
            first_free = counts.first_free
            for run in row.runs:
                first_free = give_to_free(tables, event.pool_id, pool, first_free, run)
            counts = msgspec.structs.replace(counts, first_free=first_free)
        tables.counts.put(event.pool_id, counts)
        yield


def _forget(tables: PoolTables, pool_id: str, holder: Holder, row: ReservationRow) -> None:
    tables.reservations.delete(pool_id, holder)
    if row.end_uptime_us:
        tables.expiries.delete(pool_id, (row.end_uptime_us, *holder))
    for run in row.runs:
        tables.held.delete(pool_id, run.last)


def _without(counts: PoolCounts, pool: PoolRow, runs: Runs) -> PoolCounts:
    """Returns the counts once a reservation has ended."""
    numbers = size(runs)
    outside = numbers - size(all_within(runs, pool.allowed))
    return msgspec.structs.replace(
        counts,
        held=counts.held - numbers,
        outside=counts.outside - outside,
        reservations=counts.reservations - 1,
        void=counts.void + numbers if pool.gap_free else 0,
    )
