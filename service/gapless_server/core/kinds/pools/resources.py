"""Pools and reservations as clients see them."""

from __future__ import annotations

from gapless.v1 import errors_pb2, pools_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kinds.pools.ranges import Runs, numbers_in, outside
from gapless_server.core.kinds.pools.tables import (
    Holder,
    PoolCounts,
    PoolRow,
    ReservationRow,
    free_count,
    pool_tables,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import set_timestamp, to_timestamp


def range_messages(runs: Runs) -> list[pools_pb2.NumberRange]:
    """Returns runs in their form on the wire."""
    return [pools_pb2.NumberRange(first=run.first, last=run.last) for run in runs]


def pool_resource(pool_id: str, pool: PoolRow, counts: PoolCounts) -> pools_pb2.Pool:
    """Returns a pool as clients see it."""
    return pools_pb2.Pool(
        pool_id=pool_id,
        ranges=range_messages(pool.ranges),
        exclusions=range_messages(pool.exclusions),
        preferred_numbers=pool.preferred,
        gap_free=pool.gap_free,
        size=pool.size,
        free_count=free_count(pool, counts),
        held_count=counts.held,
        outside_count=counts.outside,
        reservation_count=counts.reservations,
        void_count=counts.void,
        last_number=None if counts.last_number < 0 else counts.last_number,
        create_time=to_timestamp(pool.create_time_us),
        update_time=to_timestamp(pool.update_time_us),
    )


def reservation_resource(
    pool_id: str, pool: PoolRow, holder: Holder, row: ReservationRow, now: Moment
) -> pb.Reservation:
    """Returns a reservation as clients see it at a moment."""
    # Only what is set is touched: lists of a thousand of these are read again and again.
    reservation = pb.Reservation(
        pool_id=pool_id,
        owner_id=holder[0],
        key=holder[1],
        shape=row.shape,  # type: ignore[arg-type]  # the row has the number of the enum value
        position=row.position,
    )
    reservation.numbers.extend(numbers_in(row.runs))
    set_timestamp(reservation.create_time, row.create_time_us)
    if row.base >= 0:
        reservation.base = row.base
    if row.end_uptime_us:
        set_timestamp(reservation.expire_time, now.time_at(row.end_uptime_us))
        reservation.expired = row.expired(now.uptime_us)
    outside_runs = outside(row.runs, pool.allowed)
    if outside_runs:
        reservation.outside_numbers.extend(numbers_in(outside_runs))
    return reservation


def require_reservation(state: State, pool_id: str, holder: Holder) -> ReservationRow:
    """Returns a reservation of an existing pool. Raises Refused, reason RESERVATION_NOT_FOUND."""
    row = pool_tables(state).reservations.get(pool_id, holder)
    if row is None:
        raise Refused(
            errors_pb2.ERROR_REASON_RESERVATION_NOT_FOUND,
            pool_id=pool_id,
            owner_id=holder[0],
            key=holder[1],
        )
    return row
