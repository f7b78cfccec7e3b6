"""The rows and tables of pools, and the upkeep of which numbers are free."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

import msgspec

from gapless.v1 import errors_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kinds.pools.ranges import (
    Run,
    Runs,
    from_number,
    holds,
    size,
    subtract,
    within,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.state import GapError, PartitionedTable, State, Table, UndoLog

# All pools of a namespace are one partition, so that they can be listed in order.
ALL = ""

# A reservation's name within its pool: owner and key.
Holder = tuple[str, str]


class PoolRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A pool's settings and what follows from them; changes only with UpdatePool."""

    ranges: Runs
    exclusions: Runs
    preferred: tuple[int, ...]
    gap_free: bool
    allowed: Runs  # the ranges without the exclusions, joined
    size: int  # of `allowed`
    preferred_ranks: tuple[tuple[int, int], ...]  # (number, index in `preferred`), in order
    create_time_us: int
    update_time_us: int


class PoolCounts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What changes in a pool with every reservation."""

    held: int = 0  # numbers
    outside: int = 0  # held numbers that are not in `allowed`
    reservations: int = 0
    void: int = 0
    last_number: int = -1  # of a gap-free pool; -1 before the first
    first_free: Run | None = None  # the first run of `free`, so that mostly nothing is looked up


class ReservationRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one owner holds under one key."""

    runs: Runs  # joined
    shape: int  # a pool_reservations_pb2.ReservationShape
    base: int  # -1 where the shape has none
    position: int
    create_time_us: int
    end_uptime_us: int  # when its time to live is over, in uptime; 0: never

    def expired(self, uptime_us: int) -> bool:
        """Says whether the time to live is over."""
        return 0 < self.end_uptime_us <= uptime_us


class HeldRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run of held numbers of one reservation; its last number is the key."""

    first: int
    holder: Holder


class VoidRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A number of a gap-free pool that was given and released."""

    holder: Holder
    create_time_us: int
    void_time_us: int
    cause: int  # a pool_reservations_pb2.ReleaseCause


class PoolTables:
    """Pools by id; everything else by pool.

    Numbers are kept as runs, by their last number: so the run with a number is the first one from
    that key on, and taking the smallest number of a run leaves its key as it is.

    1. `held` has exactly the runs of `reservations`.
    2. `free` has exactly `allowed` without `held`, joined, as first number by last number; it is
       empty for gap-free pools, whose free numbers all lie above the last one given.
    3. `free_lengths` has (length, first) of each run of `free`; the first run of all stands in
       `counts` as well.
    4. `free_preferred` has the free ones of a pool's preferred numbers, by their rank.
    5. `expiries` has (end in uptime, owner, key) of each reservation with a time to live.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.pools: PartitionedTable[str, str, PoolRow] = PartitionedTable(undo, PoolRow)
        self.counts: Table[str, PoolCounts] = Table(undo, PoolCounts)
        self.reservations: PartitionedTable[str, Holder, ReservationRow] = PartitionedTable(
            undo, ReservationRow
        )
        self.held: PartitionedTable[str, int, HeldRow] = PartitionedTable(undo, HeldRow)
        self.free: PartitionedTable[str, int, int] = PartitionedTable(undo, int)
        self.free_lengths: PartitionedTable[str, tuple[int, int], bool] = PartitionedTable(
            undo, bool
        )
        self.free_preferred: PartitionedTable[str, int, int] = PartitionedTable(undo, int)
        self.expiries: PartitionedTable[str, tuple[int, str, str], bool] = PartitionedTable(
            undo, bool
        )
        self.voids: PartitionedTable[str, int, VoidRow] = PartitionedTable(undo, VoidRow)


def pool_tables(state: State) -> PoolTables:
    """Returns the tables of pools."""
    return state.of(PoolTables)


def require_pool(state: State, pool_id: str) -> PoolRow:
    """Returns the row of a pool. Raises Refused, reason POOL_NOT_FOUND."""
    row = state.of(PoolTables).pools.get(ALL, pool_id)
    if row is None:
        raise Refused(errors_pb2.ERROR_REASON_POOL_NOT_FOUND, pool_id=pool_id)
    return row


def pool_counts(state: State, pool_id: str) -> PoolCounts:
    """Returns what an existing pool holds."""
    counts = state.of(PoolTables).counts.get(pool_id)
    assert counts is not None  # evolved together with the pool
    return counts


def pool_row(
    ranges: Runs,
    exclusions: Runs,
    preferred: tuple[int, ...],
    *,
    gap_free: bool,
    create_time_us: int,
    update_time_us: int,
) -> PoolRow:
    """Returns the row of a pool with these settings; runs joined."""
    allowed = subtract(ranges, exclusions)
    return PoolRow(
        ranges=ranges,
        exclusions=exclusions,
        preferred=preferred,
        gap_free=gap_free,
        allowed=allowed,
        size=size(allowed),
        preferred_ranks=tuple(sorted((number, rank) for rank, number in enumerate(preferred))),
        create_time_us=create_time_us,
        update_time_us=update_time_us,
    )


def free_count(pool: PoolRow, counts: PoolCounts) -> int:
    """Returns how many numbers a pool can still give."""
    if pool.gap_free:
        return size(from_number(pool.allowed, counts.last_number + 1))
    return pool.size - (counts.held - counts.outside)


def holder_of(tables: PoolTables, pool_id: str, number: int) -> Holder | None:
    """Returns who holds a number, or None."""
    for _, row in tables.held.scan(pool_id, after=number - 1):
        return row.holder if row.first <= number else None
    return None


def number_status(
    state: State, pool_id: str, pool: PoolRow, number: int
) -> pb.NumberStatus.ValueType:
    """Returns what has become of a number."""
    tables = pool_tables(state)
    if holder_of(tables, pool_id, number) is not None:
        return pb.NUMBER_STATUS_HELD
    if tables.voids.get(pool_id, number) is not None:
        return pb.NUMBER_STATUS_VOID
    if holds(pool.allowed, number):
        passed = pool.gap_free and number <= pool_counts(state, pool_id).last_number
        return pb.NUMBER_STATUS_PASSED if passed else pb.NUMBER_STATUS_FREE
    if holds(pool.exclusions, number):
        return pb.NUMBER_STATUS_EXCLUDED
    return pb.NUMBER_STATUS_OUT_OF_RANGE


def describe_number(state: State, pool_id: str, pool: PoolRow, number: int) -> str:
    """Returns what keeps a number from being given, for a text."""
    holder = holder_of(pool_tables(state), pool_id, number)
    if holder is not None:
        return f"owner {holder[0]} holds it under key {holder[1]}"
    if number_status(state, pool_id, pool, number) == pb.NUMBER_STATUS_EXCLUDED:
        return "it is excluded"
    return "it is in none of the pool's ranges"


def reservations_of(
    tables: PoolTables, pool_id: str, owner_id: str, after_key: str = ""
) -> Iterator[tuple[Holder, ReservationRow]]:
    """Yields what an owner holds, in the order of the keys, after a key."""
    # No key is empty, so that every key of the owner comes after ("owner", "").
    for holder, row in tables.reservations.scan(pool_id, after=(owner_id, after_key)):
        if holder[0] != owner_id:
            return
        yield holder, row


def reservations_of_in_steps(
    tables: PoolTables, pool_id: str, owner_id: str, after_key: str = ""
) -> Iterator[tuple[Holder, ReservationRow] | None]:
    """Yields the same, with None where there may be a pause."""
    for found in tables.reservations.scan_in_steps(pool_id, after=(owner_id, after_key)):
        if found is not None and found[0][0] != owner_id:
            return
        yield found


def require_row(tables: PoolTables, pool_id: str, holder: Holder) -> ReservationRow:
    """Returns a reservation that is known to be there."""
    row = tables.reservations.get(pool_id, holder)
    assert row is not None  # the tables of a pool are evolved together
    return row


def preferred_in(pool: PoolRow, run: Run) -> Iterator[tuple[int, int]]:
    """Yields rank and number of the preferred numbers in a run."""
    start = bisect_left(pool.preferred_ranks, (run.first, 0))
    for number, rank in islice(pool.preferred_ranks, start, None):
        if number > run.last:
            return
        yield rank, number


def free_run_from(
    tables: PoolTables, pool_id: str, first_free: Run | None, number: int
) -> Run | None:
    """Returns the first run of free numbers that does not end before a number, or None."""
    if first_free is None or number <= first_free.last:
        return first_free
    for last, first in tables.free.scan(pool_id, after=number - 1):
        return Run(first, last)
    return None


def take_from_free(
    tables: PoolTables, pool_id: str, pool: PoolRow, first_free: Run | None, run: Run
) -> Run | None:
    """Takes a run out of the free numbers that hold it; returns what is the first run then.

    Raises GapError if one of them is not free: no number is ever held twice.
    """
    whole = free_run_from(tables, pool_id, first_free, run.first)
    if whole is None or run.first < whole.first or whole.last < run.last:
        raise GapError(f"numbers {run.first} to {run.last} of pool {pool_id} are not all free")
    left = Run(whole.first, run.first - 1) if whole.first < run.first else None
    right = Run(run.last + 1, whole.last) if run.last < whole.last else None
    # What is left is put before the whole is deleted: a partition that is emptied for a moment
    # would lose the order of its keys, and find it anew each time.
    for part in (left, right):
        if part is not None:
            put_free(tables, pool_id, part)
    if right is None:
        tables.free.delete(pool_id, whole.last)
    tables.free_lengths.delete(pool_id, (whole.length, whole.first))
    if pool.preferred:
        for rank, _ in preferred_in(pool, run):
            tables.free_preferred.delete(pool_id, rank)
    if whole != first_free:
        return first_free
    return left or right or _first_free(tables, pool_id, whole.last)


def give_to_free(
    tables: PoolTables, pool_id: str, pool: PoolRow, first_free: Run | None, run: Run
) -> Run | None:
    """Makes free what the pool may still give of a run, joined to what touches it.

    Returns what is the first run then.
    """
    for part in within(run, pool.allowed):
        whole = part
        first_below = tables.free.get(pool_id, part.first - 1)
        if first_below is not None:
            below = Run(first_below, part.first - 1)
            whole = Run(below.first, whole.last)
            tables.free.delete(pool_id, below.last)
            tables.free_lengths.delete(pool_id, (below.length, below.first))
        above = free_run_from(tables, pool_id, first_free, part.last + 1)
        if above is not None and above.first == part.last + 1:
            whole = Run(whole.first, above.last)
            tables.free_lengths.delete(pool_id, (above.length, above.first))
        put_free(tables, pool_id, whole)
        for rank, number in preferred_in(pool, part):
            tables.free_preferred.put(pool_id, rank, number)
        if first_free is None or whole.first <= first_free.first:
            first_free = whole
    return first_free


def _first_free(tables: PoolTables, pool_id: str, taken: int) -> Run | None:
    """Returns the first run, given that up to a number all is taken.

    From there on, since rows that were deleted after the last checkpoint are passed one by one.
    """
    for last, first in tables.free.scan(pool_id, after=taken):
        return Run(first, last)
    return None


def put_free(tables: PoolTables, pool_id: str, run: Run) -> None:
    """Keeps a run of free numbers, in the place of one that ends with the same number."""
    tables.free.put(pool_id, run.last, run.first)
    tables.free_lengths.put(pool_id, (run.length, run.first), True)
