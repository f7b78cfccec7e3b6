"""What is free in a pool: as its tables have it, or as it would be after a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from gapless_server.core.kinds.pools.ranges import (
    Run,
    Runs,
    from_number,
    holds,
    size,
)
from gapless_server.core.kinds.pools.tables import (
    PoolCounts,
    PoolRow,
    PoolTables,
    free_count,
    free_run_from,
)


class Free(Protocol):
    """The free numbers of a pool, as runs in order that do not touch each other."""

    def count(self) -> int:
        """Returns how many numbers are free."""

    def preferred(self) -> Iterator[int]:
        """Yields the preferred numbers that are free, in the order of preference."""

    def runs(self) -> Iterator[Run]:
        """Yields the runs in order."""

    def run_from(self, number: int) -> Run | None:
        """Returns the first run from a number on, cut off below it; None if there is none."""

    def tightest(self, length: int) -> Run | None:
        """Returns the shortest run of at least a length; of several the first."""

    def longest(self) -> int:
        """Returns the length of the longest run; 0 if there is none."""


class TableFree:
    """The free numbers of a pool as its tables have them: nothing takes time with their number."""

    def __init__(self, tables: PoolTables, pool_id: str, pool: PoolRow, counts: PoolCounts) -> None:
        self._tables = tables
        self._pool_id = pool_id
        self._pool = pool
        self._counts = counts

    def count(self) -> int:
        """Returns how many numbers are free."""
        return free_count(self._pool, self._counts)

    def preferred(self) -> Iterator[int]:
        """Yields the preferred numbers that are free, in the order of preference."""
        if not self._pool.preferred:
            return iter(())
        return (number for _, number in self._tables.free_preferred.scan(self._pool_id))

    def runs(self) -> Iterator[Run]:
        """Yields the runs in order."""
        return (Run(first, last) for last, first in self._tables.free.scan(self._pool_id))

    def run_from(self, number: int) -> Run | None:
        """Returns the first run from a number on, cut off below it; None if there is none."""
        run = self.whole_run_from(number)
        return Run(number, run.last) if run is not None and run.first < number else run

    def whole_run_from(self, number: int) -> Run | None:
        """Returns the same, not cut off."""
        return free_run_from(self._tables, self._pool_id, self._counts.first_free, number)

    def tightest(self, length: int) -> Run | None:
        """Returns the shortest run of at least a length; of several the first."""
        return next(self.by_length(length), None)

    def by_length(self, length: int) -> Iterator[Run]:
        """Yields the runs of at least a length, the shortest first; of several the first."""
        # No run begins below 0, so this key is smaller than every one of that length.
        rows = self._tables.free_lengths.scan(self._pool_id, after=(length, -1))
        return (Run(first, first + found - 1) for (found, first), _ in rows)

    def longest(self) -> int:
        """Returns the length of the longest run; 0 if there is none."""
        run = next(self.longest_first(), None)
        return 0 if run is None else run.length

    def longest_first(self) -> Iterator[Run]:
        """Yields the runs, the longest first."""
        rows = self._tables.free_lengths.scan(self._pool_id, descending=True)
        return (Run(first, first + length - 1) for (length, first), _ in rows)


class ListedFree:
    """Free numbers that stand in no table: what would be free if something were released."""

    def __init__(self, runs: Runs, preferred: Sequence[int]) -> None:
        self._runs = runs
        self._preferred = preferred

    def count(self) -> int:
        """Returns how many numbers are free."""
        return size(self._runs)

    def preferred(self) -> Iterator[int]:
        """Yields the preferred numbers that are free, in the order of preference."""
        return (number for number in self._preferred if holds(self._runs, number))

    def runs(self) -> Iterator[Run]:
        """Yields the runs in order."""
        return iter(self._runs)

    def run_from(self, number: int) -> Run | None:
        """Returns the first run from a number on, cut off below it; None if there is none."""
        return next(from_number(self._runs, number), None)

    def tightest(self, length: int) -> Run | None:
        """Returns the shortest run of at least a length; of several the first."""
        long_enough = (run for run in self._runs if run.length >= length)
        return min(long_enough, key=lambda run: (run.length, run.first), default=None)

    def longest(self) -> int:
        """Returns the length of the longest run; 0 if there is none."""
        return max((run.length for run in self._runs), default=0)


def is_free(free: Free, number: int) -> bool:
    """Says whether a number is free."""
    run = free.run_from(number)
    return run is not None and run.first == number
