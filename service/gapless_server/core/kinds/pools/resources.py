"""Pools and reservations as clients see them."""

from __future__ import annotations

from collections.abc import Callable

from gapless.v1 import errors_pb2, pools_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kinds.pools.ranges import Runs, outside
from gapless_server.core.kinds.pools.tables import (
    Holder,
    PoolCounts,
    PoolRow,
    ReservationRow,
    free_count,
    pool_counts,
    pool_tables,
    require_pool,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import timestamp_bytes, to_timestamp
from gapless_server.core.wire import VARINTS, bytes_tag, field, number_tag

_POOL_ID = bytes_tag(pb.Reservation.POOL_ID_FIELD_NUMBER)
_OWNER_ID = bytes_tag(pb.Reservation.OWNER_ID_FIELD_NUMBER)
_KEY = bytes_tag(pb.Reservation.KEY_FIELD_NUMBER)
_NUMBERS = bytes_tag(pb.Reservation.NUMBERS_FIELD_NUMBER)
_SHAPES = [
    number_tag(pb.Reservation.SHAPE_FIELD_NUMBER) + VARINTS[shape] if shape else b""
    for shape in range(max(pb.ReservationShape.values()) + 1)
]
_BASE = number_tag(pb.Reservation.BASE_FIELD_NUMBER)
_CREATE_TIME = bytes_tag(pb.Reservation.CREATE_TIME_FIELD_NUMBER)
_POSITION = number_tag(pb.Reservation.POSITION_FIELD_NUMBER)
_EXPIRE_TIME = bytes_tag(pb.Reservation.EXPIRE_TIME_FIELD_NUMBER)
_EXPIRED = number_tag(pb.Reservation.EXPIRED_FIELD_NUMBER) + VARINTS[True]
_OUTSIDE_NUMBERS = bytes_tag(pb.Reservation.OUTSIDE_NUMBERS_FIELD_NUMBER)


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


def reservation_writer(
    state: State, pool_id: str, now: Moment
) -> Callable[[Holder, ReservationRow], bytes]:
    """Returns what writes the reservations of a pool as clients see them at a moment.

    As bytes, field by field: lists of a thousand of these are read again and again.
    """
    pool_field = field(_POOL_ID, pool_id.encode())
    # What many of them have in common: the owner, and when they were made.
    begins: dict[str, bytes] = {}
    middles: dict[int, bytes] = {}
    # Mostly nothing is held outside, and nothing needs to be looked for.
    has_outside = pool_counts(state, pool_id).outside > 0
    allowed = require_pool(state, pool_id).allowed
    join = b"".join

    def ending(row: ReservationRow) -> bytes:
        end_us = row.end_uptime_us
        expire = field(_EXPIRE_TIME, timestamp_bytes(now.time_at(end_us))) if end_us else b""
        expired = _EXPIRED if row.expired(now.uptime_us) else b""
        return join((expire, expired, _outside_numbers(row.runs, allowed) if has_outside else b""))

    def write(holder: Holder, row: ReservationRow) -> bytes:
        (owner_id, key), runs, time_us = holder, row.runs, row.create_time_us
        if (begin := begins.get(owner_id)) is None:
            begin = begins[owner_id] = pool_field + field(_OWNER_ID, owner_id.encode()) + _KEY
        if (middle := middles.get(time_us)) is None:
            middle = middles[time_us] = field(_CREATE_TIME, timestamp_bytes(time_us)) + _POSITION
        first, last = runs[0]
        key_data = key.encode()
        numbers = VARINTS[first] if first == last and len(runs) == 1 else _packed(runs)
        parts = (
            begin,
            VARINTS[len(key_data)],
            key_data,
            _NUMBERS,
            VARINTS[len(numbers)],
            numbers,
            _SHAPES[row.shape],
            _BASE + VARINTS[row.base] if row.base >= 0 else b"",
            middle,
            VARINTS[row.position],
            ending(row) if row.end_uptime_us or has_outside else b"",
        )
        return join(parts)

    return write


def _packed(runs: Runs) -> bytes:
    return b"".join([VARINTS[one] for first, last in runs for one in range(first, last + 1)])


def _outside_numbers(runs: Runs, allowed: Runs) -> bytes:
    numbers = outside(runs, allowed)
    return field(_OUTSIDE_NUMBERS, _packed(numbers)) if numbers else b""


def reservation_resource(
    state: State, pool_id: str, holder: Holder, row: ReservationRow, now: Moment
) -> pb.Reservation:
    """Returns a reservation as clients see it at a moment."""
    return pb.Reservation.FromString(reservation_writer(state, pool_id, now)(holder, row))


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
