"""Checks the tables of one pool against each other. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from gapless.v1 import pool_reservations_pb2 as pb
from gapless.v1 import pools_pb2
from gapless_server.core.kernel import AnswerSteps
from gapless_server.core.kinds.pools.ranges import (
    Run,
    Runs,
    holds,
    left_of,
    numbers_in,
    side_by_side,
    size,
)
from gapless_server.core.kinds.pools.ranges import outside as runs_outside
from gapless_server.core.kinds.pools.resources import pool_resource
from gapless_server.core.kinds.pools.tables import (
    HeldRow,
    Holder,
    PoolRow,
    PoolTables,
    pool_counts,
    pool_tables,
    require_pool,
)
from gapless_server.core.paging import PageLimits
from gapless_server.core.state import Moment, State
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, handfuls

# What one answer names at most; the counts are exact whatever these are.
PROBLEMS_MAX = 100
OUTSIDE_NUMBERS_MAX = 1000
# What is wrong, a sentence each, with None wherever there may be a pause.
Problems = Iterator[str | None]


def check_pool(
    state: State, request: pools_pb2.CheckPoolRequest, _limits: PageLimits, now: Moment
) -> AnswerSteps:
    """Answers CheckPool, with pauses."""
    pool_id = request.pool_id
    checked = _Checked(state, pool_id, require_pool(state, pool_id), now.uptime_us)
    problems: list[str] = []
    for problem in checked.problems():
        if problem is None:
            yield
        elif len(problems) < PROBLEMS_MAX:
            problems.append(problem)
    return pools_pb2.CheckPoolResponse(
        ok=not problems,
        problems=problems,
        pool=pool_resource(pool_id, checked.pool, pool_counts(state, pool_id)),
        outside_numbers=islice(_numbers(checked.outside), OUTSIDE_NUMBERS_MAX),
        expired_count=checked.expired_count,
    )


def _numbers(runs: Runs) -> Iterator[int]:
    return (number for run in runs for number in range(run.first, run.last + 1))


class _Checked:
    """One look at a pool, and what was found on the way: known once `problems` has ended."""

    def __init__(self, state: State, pool_id: str, pool: PoolRow, uptime_us: int) -> None:
        self.pool = pool
        self.outside: Runs = ()
        self.expired_count = 0
        self._pool_id = pool_id
        self._tables: PoolTables = pool_tables(state)
        self._counts = pool_counts(state, pool_id)
        self._uptime_us = uptime_us
        self._held: list[Run] = []  # in order; neighbours may touch
        self._held_count = 0
        # By the last number, and only those that no reservation so far has: looking for the rows of
        # one table for each of the other would take ten times as long where they are on the disk.
        self._rows_held: dict[int, HeldRow] = {}
        self._reservations_count = 0
        self._ends: dict[Holder, int] = {}

    def problems(self) -> Problems:
        """Yields what is wrong."""
        yield from self._held_problems()
        yield from self._group_problems()
        yield from self._holder_problems()
        yield from self._count_problems()
        if self.pool.gap_free:
            yield from self._order_problems()
        else:
            yield from self._free_problems()
        yield from self._expiry_problems()

    def _held_problems(self) -> Problems:
        """No number is held twice."""
        last_before = -1
        outside: list[Run] = []
        for found in self._tables.held.scan_in_steps(self._pool_id):
            if found is None:
                yield None
                continue
            last, row = found
            run = Run(row.first, last)
            self._held.append(run)
            self._held_count += run.length
            self._rows_held[last] = row
            outside.extend(runs_outside((run,), self.pool.allowed))
            if row.first <= last_before:
                yield f"number {row.first} is held twice"
            last_before = last
        self.outside = tuple(outside)

    def _group_problems(self) -> Problems:
        """A reservation holds all of its numbers, and as many and such as it asked for."""
        for found in self._tables.reservations.scan_in_steps(self._pool_id):
            if found is None:
                yield None
                continue
            holder, row = found
            self._reservations_count += 1
            self.expired_count += row.expired(self._uptime_us)
            if row.end_uptime_us:
                self._ends[holder] = row.end_uptime_us
            name = f"the reservation of owner {holder[0]} under key {holder[1]}"
            for run in row.runs:
                if self._rows_held.get(run.last) == HeldRow(run.first, holder):
                    del self._rows_held[run.last]
                else:
                    yield f"{name} does not hold its numbers {run.first}-{run.last}"
            if row.shape == pb.RESERVATION_SHAPE_SINGLE and size(row.runs) != 1:
                yield f"{name} is for one number and has {size(row.runs)}"
            if row.shape == pb.RESERVATION_SHAPE_CONTIGUOUS and len(row.runs) != 1:
                yield f"{name} is contiguous and has {len(row.runs)} runs"

    def _holder_problems(self) -> Problems:
        """What is held belongs to a reservation."""
        for last, row in self._rows_held.items():
            owner_id, key = row.holder
            yield (
                f"numbers {row.first}-{last} are held for owner {owner_id}, key {key},"
                " whose reservation does not have them"
            )

    def _count_problems(self) -> Problems:
        """The counts are those of the rows."""
        voids_count = 0
        for found in self._tables.voids.scan_in_steps(self._pool_id):
            if found is None:
                yield None
            else:
                voids_count += 1
        counts = self._counts
        for name, counted, found_count in (
            ("held numbers", counts.held, self._held_count),
            ("held numbers outside", counts.outside, size(self.outside)),
            ("reservations", counts.reservations, self._reservations_count),
            ("void numbers", counts.void, voids_count),
        ):
            if counted != found_count:
                yield f"the count of {name} is {counted}, found {found_count}"

    def _order_problems(self) -> Problems:
        """A gap-free pool gave nothing above its last number, and holds nothing that is void."""
        last_number = self._counts.last_number
        for index, run in enumerate(self._held):
            if index % ROWS_BETWEEN_PAUSES == 0:
                yield None
            if run.last > last_number:
                yield f"number {run.last} is held, above the last one given, {last_number}"
            for number in numbers_in([run]):
                if self._tables.voids.get(self._pool_id, number) is not None:
                    yield f"number {number} is void and held"

    def _free_problems(self) -> Problems:
        """What is free is exactly what the pool may give and nobody holds."""
        free: list[Run] = []
        for found in self._tables.free.scan_in_steps(self._pool_id):
            if found is None:
                yield None
            else:
                free.append(Run(found[1], found[0]))
        expected = left_of(self.pool.allowed, self._held)
        for index, (kept, right) in enumerate(side_by_side(free, expected)):
            if index % ROWS_BETWEEN_PAUSES == 0:
                yield None
            if kept == right:
                continue
            if right is not None:
                yield (
                    f"the numbers {right.first}-{right.last} should be a run of free numbers and"
                    " are not"
                )
            if kept is not None:
                yield (
                    f"the numbers {kept.first}-{kept.last} are kept as a run of free numbers and"
                    " are not"
                )
        if self._counts.first_free != next(iter(free), None):
            yield "the first run of free numbers is not kept as it is"
        yield from self._free_length_problems(free)
        yield from self._preferred_problems(free)

    def _free_length_problems(self, free: Sequence[Run]) -> Problems:
        """Every run is found by its length, and nothing else is."""
        lengths: dict[int, int] = {}
        for some in handfuls(free):
            lengths.update((run.first, run.length) for run in some)
            yield None
        has_others = False
        for found in self._tables.free_lengths.scan_in_steps(self._pool_id):
            if found is None:
                yield None
            else:
                length, first = found[0]
                has_others = lengths.pop(first, 0) != length or has_others
        if lengths or has_others:
            yield "the lengths of the runs of free numbers are not kept as they are"

    def _preferred_problems(self, free: Sequence[Run]) -> Problems:
        preferred = [number for _, number in self._tables.free_preferred.scan(self._pool_id)]
        if preferred != [number for number in self.pool.preferred if holds(free, number)]:
            yield f"the free preferred numbers are kept as {preferred[:10]} and are others"

    def _expiry_problems(self) -> Problems:
        """Everything that expires is found by its time."""
        for found in self._tables.expiries.scan_in_steps(self._pool_id):
            if found is None:
                yield None
                continue
            end_uptime_us, owner_id, key = found[0]
            if self._ends.pop((owner_id, key), None) != end_uptime_us:
                yield _expiry_problem(owner_id, key)
        for owner_id, key in self._ends:
            yield _expiry_problem(owner_id, key)


def _expiry_problem(owner_id: str, key: str) -> str:
    return f"the expiry of owner {owner_id}, key {key} is not kept as it is"
