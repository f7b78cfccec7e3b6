"""What would be free in a pool once some reservations are released."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from heapq import merge
from typing import Final

from gapless_server.core.kinds.pools.free import TableFree
from gapless_server.core.kinds.pools.ranges import (
    Run,
    Runs,
    from_number,
    holds,
    joined,
    size,
)
from gapless_server.core.kinds.pools.tables import PoolRow

# Each is two looks into a table, maybe on the disk.
_RUNS_BETWEEN_PAUSES: Final = 50


def swept_free(free: TableFree, pool: PoolRow, back: Runs) -> Generator[None, None, SweptFree]:
    """Returns what is free once held numbers, joined, that the pool may give come back."""
    touched: set[Run] = set()
    for index, run in enumerate(back, start=1):
        for number in (run.first - 1, run.last + 1):
            whole = free.whole_run_from(number)
            if whole is not None and whole.first <= number:
                touched.add(whole)
        if index % _RUNS_BETWEEN_PAUSES == 0:
            yield
    return SweptFree(free, pool, back, frozenset(touched))


class SweptFree:
    """The free numbers of a pool as its tables have them, and some more.

    Takes time with the number of those that come back, whatever there is beside them.
    """

    def __init__(self, free: TableFree, pool: PoolRow, back: Runs, touched: frozenset[Run]) -> None:
        """`touched` are the runs of the tables that touch what comes back."""
        self._free = free
        self._pool = pool
        self._back = back
        self._touched = touched
        # What becomes of both together.
        self._grown = joined([*touched, *back])

    def count(self) -> int:
        """Returns how many numbers are free."""
        return self._free.count() + size(self._back)

    def preferred(self) -> Iterator[int]:
        """Yields the preferred numbers that are free, in the order of preference."""
        free = frozenset(self._free.preferred())
        return (one for one in self._pool.preferred if one in free or holds(self._back, one))

    def runs(self) -> Iterator[Run]:
        """Yields the runs in order."""
        others = (run for run in self._free.runs() if run not in self._touched)
        return merge(others, self._grown)

    def run_from(self, number: int) -> Run | None:
        """Returns the first run from a number on, cut off below it; None if there is none."""
        grown = next(from_number(self._grown, number), None)
        whole = self._free.whole_run_from(number)
        # One that has grown begins no later than a part of it.
        if whole is None or whole in self._touched:
            return grown
        run = Run(max(number, whole.first), whole.last)
        return run if grown is None else min(run, grown)

    def tightest(self, length: int) -> Run | None:
        """Returns the shortest run of at least a length; of several the first."""
        found = [run for run in self._grown if run.length >= length]
        others = (run for run in self._free.by_length(length) if run not in self._touched)
        found.extend(run for run in [next(others, None)] if run is not None)
        return min(found, key=lambda run: (run.length, run.first), default=None)

    def longest(self) -> int:
        """Returns the length of the longest run; 0 if there is none."""
        others = (run for run in self._free.longest_first() if run not in self._touched)
        found = [*self._grown, *(run for run in [next(others, None)] if run is not None)]
        return max((run.length for run in found), default=0)
