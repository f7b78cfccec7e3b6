"""Works out anew what follows from a pool's ranges: in steps, as any number of rows may change."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Final

from gapless_server.core.kinds.pools.ranges import (
    Run,
    holds,
    left_of,
    outside,
    side_by_side,
    size,
)
from gapless_server.core.kinds.pools.tables import PoolRow, PoolTables, put_free
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, handfuls, let_go

# Of two runs that are compared, each may be a row in two tables.
_PAIRS_BETWEEN_PAUSES: Final = ROWS_BETWEEN_PAUSES // 4


def held_runs(tables: PoolTables, pool_id: str) -> Generator[None, None, list[Run]]:
    """Returns what is held in a pool, in order and joined."""
    held: list[Run] = []
    for found in tables.held.scan_in_steps(pool_id):
        if found is None:
            yield
            continue
        last, row = found
        if held and held[-1].last + 1 == row.first:
            held[-1] = Run(held[-1].first, last)
        else:
            held.append(Run(row.first, last))
    return held


def held_outside(held: Sequence[Run], pool: PoolRow) -> Generator[None, None, int]:
    """Returns how many held numbers the pool may not give (any more)."""
    count = 0
    for some in handfuls(held):
        count += size(outside(some, pool.allowed))
        yield
    return count


def rebuild_free(
    tables: PoolTables, pool_id: str, pool: PoolRow, held: Sequence[Run]
) -> Generator[None, None, Run | None]:
    """Keeps the numbers that are free now, given what is held, joined; returns the first run."""
    free: Iterable[Run] = () if pool.gap_free else left_of(pool.allowed, held)
    before: list[Run] = []
    for found in tables.free.scan_in_steps(pool_id):
        if found is None:
            yield
        else:
            before.append(Run(found[1], found[0]))
    first_free: Run | None = None
    for index, (old, new) in enumerate(side_by_side(before, free)):
        if index % _PAIRS_BETWEEN_PAUSES == 0:
            yield
        first_free = first_free or new
        # Mostly a few runs of many change.
        if old == new:
            continue
        if old is not None:
            tables.free_lengths.delete(pool_id, (old.length, old.first))
            if new is None:
                tables.free.delete(pool_id, old.last)
        if new is not None:
            put_free(tables, pool_id, new)
    yield from let_go(before)
    yield from _rebuild_preferred(tables, pool_id, pool, held)
    return first_free


def _rebuild_preferred(
    tables: PoolTables, pool_id: str, pool: PoolRow, held: Sequence[Run]
) -> Generator[None, None, None]:
    yield from tables.free_preferred.drop_in_steps(pool_id)
    if pool.gap_free:
        return
    for rank, number in enumerate(pool.preferred):
        if holds(pool.allowed, number) and not holds(held, number):
            tables.free_preferred.put(pool_id, rank, number)
        if rank % ROWS_BETWEEN_PAUSES == 0:
            yield
