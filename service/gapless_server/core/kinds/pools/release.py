"""Ends reservations: released, expired, or of owners who are gone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from gapless.v1 import errors_pb2, pools_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kernel import Context, Decision, Steps
from gapless_server.core.kinds.pools.ranges import numbers_in, size
from gapless_server.core.kinds.pools.resources import require_reservation
from gapless_server.core.kinds.pools.tables import (
    Holder,
    PoolTables,
    ReservationRow,
    pool_tables,
    require_pool,
    require_row,
    reservations_of_in_steps,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.core.steps import InSteps

# How many numbers one command gives back at most, so that it is done in some 0.2 s. A single
# reservation always fits.
RELEASED_NUMBERS_MAX = 10_000
# What one command takes is by reservation more than by number: 1,000 are some 50 ms.
RELEASED_RESERVATIONS_MAX = 1000
# How large its entry may get: an entry must fit into one message, beside others.
RELEASED_BYTES_MAX = 1024 * 1024
# What a number, and a character of an owner or a key, take at most.
_NUMBER_BYTES_MAX = 9
_CHARACTER_BYTES_MAX = 4

# Endings, each to be made if it is wanted, and None where there may be a pause.
Endings = Iterator[Callable[[], "Ending"] | None]

CleanUp = pools_pb2.CleanUpPoolRequest | pools_pb2.PreviewCleanUpRequest


class Ending(NamedTuple):
    """A reservation that ends, and why."""

    holder: Holder
    row: ReservationRow
    cause: pb.ReleaseCause.ValueType

    def message(self) -> pb.ReleasedReservation:
        """Returns it as clients see it."""
        return pb.ReleasedReservation(
            owner_id=self.holder[0],
            key=self.holder[1],
            numbers=numbers_in(self.row.runs),
            cause=self.cause,
        )


def released_event(pool_id: str, endings: Iterable[Ending]) -> pb.ReservationsReleased:
    """Returns the event that ends reservations."""
    return pb.ReservationsReleased(
        pool_id=pool_id, reservations=[ending.message() for ending in endings]
    )


def bounded(endings: Iterable[Ending]) -> list[Ending]:
    """Returns as many endings, from the first, as one command may bring about."""
    result: list[Ending] = []
    numbers = size_bytes = 0
    for ending in endings:
        count = size(ending.row.runs)
        characters = sum(map(len, ending.holder))
        numbers += count
        size_bytes += count * _NUMBER_BYTES_MAX + characters * _CHARACTER_BYTES_MAX
        if numbers > RELEASED_NUMBERS_MAX or size_bytes > RELEASED_BYTES_MAX:
            break
        result.append(ending)
        if len(result) == RELEASED_RESERVATIONS_MAX:
            break
    return result


def release(state: State, command: pb.ReleaseReservationRequest, _context: Context) -> Decision:
    """Decides ReleaseReservation."""
    require_pool(state, command.pool_id)
    holder = (command.owner_id, command.key)
    row = pool_tables(state).reservations.get(command.pool_id, holder)
    if row is None:
        if command.fail_if_unchanged:
            require_reservation(state, command.pool_id, holder)
        return Decision([], pb.ReleaseReservationResponse())
    event = released_event(command.pool_id, [Ending(holder, row, pb.RELEASE_CAUSE_RELEASED)])
    return Decision([event], pb.ReleaseReservationResponse(numbers=numbers_in(row.runs)))


@InSteps
def release_owner(state: State, command: pb.ReleaseOwnerRequest, _context: Context) -> Steps:
    """Decides ReleaseOwner."""
    require_pool(state, command.pool_id)
    held = yield from _counted(_held(state, command))
    if not held.total:
        if command.fail_if_unchanged:
            raise Refused(
                errors_pb2.ERROR_REASON_OWNER_HOLDS_NOTHING,
                pool_id=command.pool_id,
                owner_id=command.owner_id,
            )
        return Decision([], pb.ReleaseOwnerResponse())
    endings = bounded(held.first)
    event = released_event(command.pool_id, endings)
    response = pb.ReleaseOwnerResponse(
        released=event.reservations, remaining_count=held.total - len(endings)
    )
    return Decision([event], response)


@InSteps
def clean_up(state: State, command: pools_pb2.CleanUpPoolRequest, context: Context) -> Steps:
    """Decides CleanUpPool."""
    require_pool(state, command.pool_id)
    dead = yield from _counted(_dead(state, command, context.moment.uptime_us))
    if not dead.total:
        return Decision([], pools_pb2.CleanUpPoolResponse())
    endings = bounded(dead.first)
    event = released_event(command.pool_id, endings)
    response = pools_pb2.CleanUpPoolResponse(
        released=event.reservations, remaining_count=dead.total - len(endings)
    )
    return Decision([event], response)


class _Counted(NamedTuple):
    """Endings: the first ones, as many as one command may bring about, and how many in all."""

    first: list[Ending]
    total: int


def _counted(endings: Endings) -> Generator[None, None, _Counted]:
    first: list[Ending] = []
    count = 0
    for ending in endings:
        if ending is None:
            yield
            continue
        count += 1
        if count <= RELEASED_RESERVATIONS_MAX:
            first.append(ending())
    return _Counted(first, count)


def _held(state: State, command: pb.ReleaseOwnerRequest) -> Endings:
    """Yields what an owner holds."""
    tables = pool_tables(state)
    for found in reservations_of_in_steps(tables, command.pool_id, command.owner_id):
        yield None if found is None else partial(Ending, *found, pb.RELEASE_CAUSE_RELEASED)


def _dead(state: State, command: pools_pb2.CleanUpPoolRequest, uptime_us: int) -> Endings:
    """Yields what a clean-up ends: what has expired, then what owners who are gone hold."""
    tables, pool_id = pool_tables(state), command.pool_id
    for due in tables.expiries.scan_in_steps(pool_id):
        if due is None:
            yield None
            continue
        end_uptime_us, owner_id, key = due[0]
        if end_uptime_us > uptime_us:
            break
        yield partial(expired_ending, tables, pool_id, (owner_id, key))
    for owner_id in dict.fromkeys(command.gone_owner_ids):
        yield None
        for found in reservations_of_in_steps(tables, pool_id, owner_id):
            if found is None:
                yield None
            elif not found[1].expired(uptime_us) and goes_with_owner(command, found[1]):
                yield partial(Ending, *found, pb.RELEASE_CAUSE_OWNER_GONE)


def expired_ending(tables: PoolTables, pool_id: str, holder: Holder) -> Ending:
    """Returns how a reservation ends once its time is over."""
    return Ending(holder, require_row(tables, pool_id, holder), pb.RELEASE_CAUSE_EXPIRED)


def goes_with_owner(command: CleanUp, row: ReservationRow) -> bool:
    """Says whether a clean-up ends a reservation once its owner is gone."""
    return not command.HasField("gone_position_max") or row.position <= command.gone_position_max
