"""Answers reads of pools, their reservations and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gapless.v1 import pool_reservations_pb2 as pb
from gapless.v1 import pools_pb2
from gapless_server.core.kernel import AnswerSteps
from gapless_server.core.kinds.pools.release import Ending, goes_with_owner
from gapless_server.core.kinds.pools.resources import (
    pool_resource,
    require_reservation,
    reservation_resource,
    reservation_writer,
)
from gapless_server.core.kinds.pools.tables import (
    ALL,
    Holder,
    PoolTables,
    ReservationRow,
    VoidRow,
    holder_of,
    number_status,
    pool_counts,
    pool_tables,
    require_pool,
    require_row,
    reservations_of,
    reservations_of_in_steps,
)
from gapless_server.core.paging import (
    PageLimits,
    fill_page,
    fill_page_in_steps,
    read_token,
    written_page,
)
from gapless_server.core.state import Moment, State
from gapless_server.core.times import to_timestamp
from gapless_server.core.writing import Written


def get_pool(
    state: State, request: pools_pb2.GetPoolRequest, _limits: PageLimits
) -> pools_pb2.GetPoolResponse:
    """Answers GetPool."""
    pool = require_pool(state, request.pool_id)
    counts = pool_counts(state, request.pool_id)
    return pools_pb2.GetPoolResponse(pool=pool_resource(request.pool_id, pool, counts))


def list_pools(
    state: State, request: pools_pb2.ListPoolsRequest, limits: PageLimits
) -> pools_pb2.ListPoolsResponse:
    """Answers ListPools."""
    rows = pool_tables(state).pools.scan(ALL, after=read_token(request, str))
    pools, token = fill_page(
        request,
        limits,
        rows,
        lambda pool_id, pool: pool_resource(pool_id, pool, pool_counts(state, pool_id)),
    )
    return pools_pb2.ListPoolsResponse(pools=pools, next_page_token=token)


def get_reservation(
    state: State, request: pb.GetReservationRequest, _limits: PageLimits, now: Moment
) -> pb.GetReservationResponse:
    """Answers GetReservation."""
    require_pool(state, request.pool_id)
    holder = (request.owner_id, request.key)
    row = require_reservation(state, request.pool_id, holder)
    reservation = reservation_resource(state, request.pool_id, holder, row, now)
    return pb.GetReservationResponse(reservation=reservation)


def get_number(
    state: State, request: pb.GetNumberRequest, _limits: PageLimits, now: Moment
) -> pb.GetNumberResponse:
    """Answers GetNumber."""
    pool_id = request.pool_id
    pool = require_pool(state, pool_id)
    status = number_status(state, pool_id, pool, request.number)
    holder = holder_of(pool_tables(state), pool_id, request.number)
    if holder is None:
        return pb.GetNumberResponse(status=status)
    row = require_row(pool_tables(state), pool_id, holder)
    reservation = reservation_resource(state, pool_id, holder, row, now)
    return pb.GetNumberResponse(status=status, reservation=reservation)


def list_reservations(
    state: State, request: pb.ListReservationsRequest, limits: PageLimits, now: Moment
) -> Written:
    """Answers ListReservations."""
    pool_id = request.pool_id
    require_pool(state, pool_id)
    after = read_token(request, tuple[str, str])
    tables = pool_tables(state)
    if request.owner_id:
        rows = reservations_of(tables, pool_id, request.owner_id, after[1] if after else "")
    else:
        rows = tables.reservations.scan(pool_id, after=after)
    return written_page(
        request,
        limits,
        rows,
        reservation_writer(state, pool_id, now),
        pb.ListReservationsResponse,
        "reservations",
    )


def list_void_numbers(
    state: State, request: pb.ListVoidNumbersRequest, limits: PageLimits
) -> pb.ListVoidNumbersResponse:
    """Answers ListVoidNumbers."""
    require_pool(state, request.pool_id)
    rows = pool_tables(state).voids.scan(request.pool_id, after=read_token(request, int))
    void_numbers, token = fill_page(request, limits, rows, _void_number)
    return pb.ListVoidNumbersResponse(void_numbers=void_numbers, next_page_token=token)


def _void_number(number: int, row: VoidRow) -> pb.VoidNumber:
    return pb.VoidNumber(
        number=number,
        owner_id=row.holder[0],
        key=row.holder[1],
        create_time=to_timestamp(row.create_time_us),
        void_time=to_timestamp(row.void_time_us),
        cause=row.cause,  # type: ignore[arg-type]  # the row has the number of the enum value
    )


def preview_clean_up(
    state: State, request: pools_pb2.PreviewCleanUpRequest, limits: PageLimits, now: Moment
) -> AnswerSteps:
    """Answers PreviewCleanUp, with pauses."""
    require_pool(state, request.pool_id)
    rows = _dead_after(state, request, read_token(request, tuple[str, str]), now.uptime_us)
    reservations, token = yield from fill_page_in_steps(
        request, limits, rows, lambda _, ending: ending.message()
    )
    return pools_pb2.PreviewCleanUpResponse(reservations=reservations, next_page_token=token)


def _dead_after(
    state: State,
    request: pools_pb2.PreviewCleanUpRequest,
    after: Holder | None,
    uptime_us: int,
) -> Iterator[tuple[Holder, Ending] | None]:
    """Yields what a clean-up would end, in the order of owner and key, after one of them.

    And None where there may be a pause: there may be any number of others in between.
    """
    tables, gone = pool_tables(state), frozenset(request.gone_owner_ids)
    rows: Iterator[tuple[Holder, ReservationRow] | None]
    has_expired = False
    for due in tables.expiries.scan_in_steps(request.pool_id):
        if due is not None:
            has_expired = due[0][0] <= uptime_us
            break
        yield None
    if has_expired:
        rows = tables.reservations.scan_in_steps(request.pool_id, after=after)
    else:
        rows = _held_by(tables, request.pool_id, gone, after)
    for found in rows:
        if found is None:
            yield None
            continue
        holder, row = found
        if row.expired(uptime_us):
            yield holder, Ending(holder, row, pb.RELEASE_CAUSE_EXPIRED)
        elif holder[0] in gone and goes_with_owner(request, row):
            yield holder, Ending(holder, row, pb.RELEASE_CAUSE_OWNER_GONE)


def _held_by(
    tables: PoolTables, pool_id: str, owner_ids: Iterable[str], after: Holder | None
) -> Iterator[tuple[Holder, ReservationRow] | None]:
    """Yields what some owners hold, in the order of owner and key, after one of them."""
    after_owner_id, after_key = after or ("", "")
    for owner_id in sorted(owner_ids):
        if owner_id >= after_owner_id:
            after_one = after_key if owner_id == after_owner_id else ""
            yield from reservations_of_in_steps(tables, pool_id, owner_id, after_one)
            yield None
