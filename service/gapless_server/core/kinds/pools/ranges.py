"""Arithmetic of runs of numbers: never one number after the other, so that 2^63 cost as 10 do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from gapless.v1.pools_pb2 import NumberRange

# The largest int64: what a number can be at most on the wire and in the log.
NUMBER_MAX = 2**63 - 1


class Run(NamedTuple):
    """The numbers from `first` to `last`, both included; never empty."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many numbers it has."""
        return self.last - self.first + 1


# Runs in order, without a number in common. Joined: also without neighbours that touch.
Runs = tuple[Run, ...]


def overlap(runs: Sequence[Run]) -> tuple[int, int] | None:
    """Returns the indices of two runs that have a number in common, the smaller first, or None."""
    order = sorted(range(len(runs)), key=lambda index: runs[index])
    for left, right in pairwise(order):
        if runs[right].first <= runs[left].last:
            return min(left, right), max(left, right)
    return None


def joined(runs: Iterable[Run]) -> Runs:
    """Returns runs that do not overlap in order, with those that touch made one."""
    result: list[Run] = []
    for run in sorted(runs):
        if result and result[-1].last + 1 == run.first:
            result[-1] = Run(result[-1].first, run.last)
        else:
            result.append(run)
    return tuple(result)


def size(runs: Iterable[Run]) -> int:
    """Returns how many numbers runs have together."""
    return sum(run.length for run in runs)


def subtract(runs: Iterable[Run], holes: Sequence[Run]) -> Runs:
    """Returns what is left of runs without the holes; both in order, each without overlap."""
    return tuple(left_of(runs, holes))


def left_of(runs: Iterable[Run], holes: Sequence[Run]) -> Iterator[Run]:
    """Yields the same, one run after the other, with no more than two holes for each if joined."""
    for run in runs:
        first = run.first
        # The hole that `run` begins in, if there is one, is the last to begin no later than it.
        index = max(_index_after(holes, first) - 1, 0)
        while index < len(holes) and holes[index].first <= run.last:
            hole = holes[index]
            if hole.first > first:
                yield Run(first, hole.first - 1)
            first = max(first, hole.last + 1)
            index += 1
        if first <= run.last:
            yield Run(first, run.last)


def side_by_side(
    before: Iterable[Run], after: Iterable[Run]
) -> Iterator[tuple[Run | None, Run | None]]:
    """Yields the runs of both, in order, in pairs that end with the same number; None: no such."""
    olds, news = iter(before), iter(after)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.last < new.last):
            yield old, None
            old = next(olds, None)
        elif old is None or new.last < old.last:
            yield None, new
            new = next(news, None)
        else:
            yield old, new
            old, new = next(olds, None), next(news, None)


def within(run: Run, runs: Sequence[Run]) -> Runs:
    """Returns the parts of one run that lie in others, which are in order."""
    stop = _index_after(runs, run.last)
    # The run that `run` begins in, if there is one, is the last to begin no later than it.
    start = max(_index_after(runs, run.first) - 1, 0)
    return tuple(
        Run(max(run.first, other.first), min(run.last, other.last))
        for other in runs[start:stop]
        if other.last >= run.first
    )


def all_within(parts: Iterable[Run], runs: Sequence[Run]) -> Runs:
    """Returns the parts of runs that lie in others, which are in order."""
    return tuple(piece for part in parts for piece in within(part, runs))


def outside(parts: Iterable[Run], runs: Sequence[Run]) -> Runs:
    """Returns what of a few runs does not lie in many others; both in order."""
    result: list[Run] = []
    for part in parts:
        index = _index_after(runs, part.first)
        # Mostly one run has all of it, and nothing needs to be worked out.
        if not index or part.last > runs[index - 1].last:
            result.extend(subtract((part,), within(part, runs)))
    return tuple(result)


def holds(runs: Sequence[Run], number: int) -> bool:
    """Says whether a number lies in one of the runs, which are in order."""
    index = _index_after(runs, number)
    return index > 0 and number <= runs[index - 1].last


def from_number(runs: Sequence[Run], number: int) -> Iterator[Run]:
    """Yields what runs, which are in order, have from a number on."""
    index = _index_after(runs, number)
    if index and number <= runs[index - 1].last:
        yield Run(number, runs[index - 1].last)
    yield from runs[index:]


def runs_from(ranges: Iterable[NumberRange]) -> Runs:
    """Returns ranges of the wire, as they come; each must not be empty."""
    return tuple(Run(one.first, one.last) for one in ranges)


def numbers_in(runs: Iterable[Run]) -> list[int]:
    """Returns every number of runs: only for what somebody holds, which is small."""
    return [number for run in runs for number in range(run.first, run.last + 1)]


def runs_of(numbers: Iterable[int]) -> Runs:
    """Returns the joined runs of numbers that are in order and all different."""
    result: list[Run] = []
    first, last = -1, -2
    # A run is made where it ends: one for each number cost as much as all else of a large group.
    for number in numbers:
        if number != last + 1:
            if first >= 0:
                result.append(Run(first, last))
            first = number
        last = number
    if first >= 0:
        result.append(Run(first, last))
    return tuple(result)


def _index_after(runs: Sequence[Run], number: int) -> int:
    """Returns the index of the first run that begins after a number."""
    # A pair that is larger than every run that begins with the number: no key function, which
    # would cost more than the search.
    return bisect_right(runs, (number, NUMBER_MAX + 1))
