"""Checks the tables of one pool against each other. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from gapless.v1 import pool_reservations_pb2 as pb
from gapless.v1 import pools_pb2
from gapless_server.core.kinds.pools.ranges import Run, holds, numbers_in, size, subtract
from gapless_server.core.kinds.pools.resources import pool_resource
from gapless_server.core.kinds.pools.tables import (
    HeldRow,
    PoolRow,
    PoolTables,
    due_reservations,
    held_runs,
    pool_counts,
    pool_tables,
    require_pool,
)
from gapless_server.core.paging import PageLimits
from gapless_server.core.state import Moment, State

# What one answer names at most; the counts are exact whatever these are.
PROBLEMS_MAX = 100
OUTSIDE_NUMBERS_MAX = 1000


def check_pool(
    state: State, request: pools_pb2.CheckPoolRequest, _limits: PageLimits, now: Moment
) -> pools_pb2.CheckPoolResponse:
    """Answers CheckPool."""
    pool_id = request.pool_id
    pool = require_pool(state, pool_id)
    tables = pool_tables(state)
    problems = list(islice(_problems(state, pool_id, pool), PROBLEMS_MAX))
    outside = subtract(held_runs(tables, pool_id), pool.allowed)
    return pools_pb2.CheckPoolResponse(
        ok=not problems,
        problems=problems,
        pool=pool_resource(pool_id, pool, pool_counts(state, pool_id)),
        outside_numbers=islice(_numbers(outside), OUTSIDE_NUMBERS_MAX),
        expired_count=sum(1 for _ in due_reservations(tables, pool_id, now.uptime_us)),
    )


def _numbers(runs: tuple[Run, ...]) -> Iterator[int]:
    return (number for run in runs for number in range(run.first, run.last + 1))


def _problems(state: State, pool_id: str, pool: PoolRow) -> Iterator[str]:
    tables = pool_tables(state)
    yield from _held_problems(tables, pool_id)
    yield from _group_problems(tables, pool_id)
    yield from _count_problems(state, pool_id, pool)
    if pool.gap_free:
        yield from _order_problems(state, pool_id)
    else:
        yield from _free_problems(state, pool_id, pool)
    yield from _expiry_problems(tables, pool_id)


def _held_problems(tables: PoolTables, pool_id: str) -> Iterator[str]:
    """No number is held twice, and what is held belongs to a reservation."""
    last_before = -1
    for last, row in tables.held.scan(pool_id):
        if row.first <= last_before:
            yield f"number {row.first} is held twice"
        last_before = last
        reservation = tables.reservations.get(pool_id, row.holder)
        if reservation is None or Run(row.first, last) not in reservation.runs:
            owner_id, key = row.holder
            yield (
                f"numbers {row.first}-{last} are held for owner {owner_id}, key {key},"
                " whose reservation does not have them"
            )


def _group_problems(tables: PoolTables, pool_id: str) -> Iterator[str]:
    """A reservation holds all of its numbers, and as many and such as it asked for."""
    for holder, row in tables.reservations.scan(pool_id):
        name = f"the reservation of owner {holder[0]} under key {holder[1]}"
        for run in row.runs:
            if tables.held.get(pool_id, run.last) != HeldRow(run.first, holder):
                yield f"{name} does not hold its numbers {run.first}-{run.last}"
        if row.shape == pb.RESERVATION_SHAPE_SINGLE and size(row.runs) != 1:
            yield f"{name} is for one number and has {size(row.runs)}"
        if row.shape == pb.RESERVATION_SHAPE_CONTIGUOUS and len(row.runs) != 1:
            yield f"{name} is contiguous and has {len(row.runs)} runs"


def _count_problems(state: State, pool_id: str, pool: PoolRow) -> Iterator[str]:
    """The counts are those of the rows."""
    tables, counts = pool_tables(state), pool_counts(state, pool_id)
    held = held_runs(tables, pool_id)
    for name, counted, found in (
        ("held numbers", counts.held, size(held)),
        ("held numbers outside", counts.outside, size(subtract(held, pool.allowed))),
        ("reservations", counts.reservations, tables.reservations.count(pool_id)),
        ("void numbers", counts.void, tables.voids.count(pool_id)),
    ):
        if counted != found:
            yield f"the count of {name} is {counted}, found {found}"


def _order_problems(state: State, pool_id: str) -> Iterator[str]:
    """A gap-free pool gave nothing above its last number, and holds nothing that is void."""
    tables, last_number = pool_tables(state), pool_counts(state, pool_id).last_number
    for run in held_runs(tables, pool_id):
        if run.last > last_number:
            yield f"number {run.last} is held, above the last one given, {last_number}"
        for number in numbers_in([run]):
            if tables.voids.get(pool_id, number) is not None:
                yield f"number {number} is void and held"


def _free_problems(state: State, pool_id: str, pool: PoolRow) -> Iterator[str]:
    """What is free is exactly what the pool may give and nobody holds."""
    tables = pool_tables(state)
    expected = subtract(pool.allowed, held_runs(tables, pool_id))
    free = tuple(Run(first, last) for last, first in tables.free.scan(pool_id))
    for run in sorted(set(expected) - set(free)):
        yield f"the numbers {run.first}-{run.last} should be a run of free numbers and are not"
    for run in sorted(set(free) - set(expected)):
        yield f"the numbers {run.first}-{run.last} are kept as a run of free numbers and are not"
    if pool_counts(state, pool_id).first_free != next(iter(free), None):
        yield "the first run of free numbers is not kept as it is"
    lengths = {first: length for (length, first), _ in tables.free_lengths.scan(pool_id)}
    if lengths != {run.first: run.length for run in free}:
        yield "the lengths of the runs of free numbers are not kept as they are"
    preferred = [number for _, number in tables.free_preferred.scan(pool_id)]
    if preferred != [number for number in pool.preferred if holds(free, number)]:
        yield f"the free preferred numbers are kept as {preferred[:10]} and are others"


def _expiry_problems(tables: PoolTables, pool_id: str) -> Iterator[str]:
    """Everything that expires is found by its time."""
    found = {(owner_id, key): end for (end, owner_id, key), _ in tables.expiries.scan(pool_id)}
    expected = {
        holder: row.end_uptime_us
        for holder, row in tables.reservations.scan(pool_id)
        if row.end_uptime_us
    }
    for (owner_id, key), _ in sorted(found.items() ^ expected.items()):
        yield f"the expiry of owner {owner_id}, key {key} is not kept as it is"
