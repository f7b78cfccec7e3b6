"""Chooses numbers for a reservation out of what is free. Changes nothing."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from gapless.v1 import errors_pb2
from gapless_server.core.kinds.pools.asks import CONTIGUOUS, OFFSETS, SINGLE, Ask
from gapless_server.core.kinds.pools.free import Free, is_free
from gapless_server.core.kinds.pools.ranges import Run, Runs, numbers_in, runs_of
from gapless_server.core.kinds.pools.tables import PoolRow, describe_number, pool_counts
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.core.steps import whole_answer

# How many numbers the search for a base looks at, and how many runs. In a fragmented pool it could
# otherwise take the number of offsets times the number of fragments; this bounds it to some 0.1 s.
BASE_PROBES_MAX = 20_000
BASE_RUNS_MAX = 5_000
# So many of either are looked at without a pause.
_PROBES_BETWEEN_PAUSES: Final = 1000
_RUNS_BETWEEN_PAUSES: Final = 50


class Choice(NamedTuple):
    """The numbers for a reservation, and the base that their offsets count from (-1: none)."""

    runs: Runs
    base: int = -1


def choose(
    state: State, pool_id: str, pool: PoolRow, free: Free, ask: Ask
) -> Generator[None, None, Choice]:
    """Returns the numbers to give; has pauses where they have to be searched for.

    Raises Refused: POOL_EXHAUSTED, POOL_FRAGMENTED or NUMBER_NOT_AVAILABLE.
    """
    if ask.preferred >= 0 and is_free(free, ask.preferred):
        return Choice((Run(ask.preferred, ask.preferred),))
    if ask.only_preferred:
        raise _not_available(state, pool_id, pool, ask.preferred)
    if ask.base >= 0:
        runs = _numbers_at(ask.base, ask.offsets)
        for number in numbers_in(runs):
            if not is_free(free, number):
                raise _not_available(state, pool_id, pool, number)
        return Choice(runs, ask.base)
    if free.count() < ask.count:
        raise _exhausted(state, pool_id, pool, free, ask)
    if ask.shape == OFFSETS:
        base = yield from search_base(free, ask.offsets)
        choice = None if base is None else Choice(_numbers_at(base, ask.offsets), base)
    elif ask.shape == CONTIGUOUS:
        choice = _choose_contiguous(pool, free, ask.count)
    elif ask.shape == SINGLE:
        choice = _choose_one(free)
    else:
        choice = _choose_any(free, ask.count)
    if choice is None:
        raise _fragmented(pool_id, pool, free, ask)
    return choice


def _choose_one(free: Free) -> Choice | None:
    """Returns the first preferred number that is free, else the smallest one."""
    number = next(free.preferred(), None)
    if number is None:
        run = free.run_from(0)
        number = None if run is None else run.first
    return None if number is None else Choice((Run(number, number),))


def _choose_any(free: Free, count: int) -> Choice:
    """Returns the preferred numbers that are free, then the smallest ones; there are enough."""
    chosen: set[int] = set()
    smallest = (number for run in free.runs() for number in range(run.first, run.last + 1))
    for number in chain(free.preferred(), smallest):
        chosen.add(number)
        if len(chosen) == count:
            break
    return Choice(runs_of(sorted(chosen)))


def _choose_contiguous(pool: PoolRow, free: Free, count: int) -> Choice | None:
    """Returns numbers that follow each other; in a gap-free pool the very next ones."""
    run = next(free.runs()) if pool.gap_free else free.tightest(count)
    if run is None or run.length < count:
        return None
    return Choice((Run(run.first, run.first + count - 1),))


def smallest_base(free: Free, offsets: Sequence[int]) -> int | None:
    """Returns what `search_base` comes to."""
    return whole_answer(search_base(free, offsets))


def search_base(free: Free, offsets: Sequence[int]) -> Generator[None, None, int | None]:
    """Returns the smallest base for which base + offset is free for every offset.

    None if there is none, or if it is not found within `BASE_PROBES_MAX` numbers and
    `BASE_RUNS_MAX` runs. Offsets are in order and all different.
    """
    base = fitting = index = runs = 0
    first, last = 0, -1
    for probes in range(1, BASE_PROBES_MAX + 1):
        offset = offsets[index]
        number = base + offset
        if first <= number <= last:
            # In the same run as the one before.
            fitting += 1
        else:
            run = free.run_from(number)
            runs += 1
            if run is None or runs > BASE_RUNS_MAX:
                return None
            first, last = run
            # No base below the one that fits this offset next can fit all of them.
            fitting = fitting + 1 if first == number else 1
            base = first - offset
            if runs == _RUNS_BETWEEN_PAUSES and _longest_row(offsets) > free.longest():
                return None
            if runs % _RUNS_BETWEEN_PAUSES == 0:
                yield
        if fitting == len(offsets):
            return base
        index = (index + 1) % len(offsets)
        if probes % _PROBES_BETWEEN_PAUSES == 0:
            yield
    return None


def _longest_row(offsets: Sequence[int]) -> int:
    """Returns how many offsets follow each other: only a run as long has their numbers."""
    return max(run.length for run in runs_of(offsets))


def _numbers_at(base: int, offsets: Sequence[int]) -> Runs:
    return runs_of(base + offset for offset in offsets)


def _not_available(state: State, pool_id: str, pool: PoolRow, number: int) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_NUMBER_NOT_AVAILABLE,
        pool_id=pool_id,
        number=number,
        description=describe_number(state, pool_id, pool, number),
    )


def _exhausted(state: State, pool_id: str, pool: PoolRow, free: Free, ask: Ask) -> Refused:
    counts = pool_counts(state, pool_id)
    # What is free may be more than the tables say: what a sweep would leave is no longer held.
    held = counts.held - counts.outside if pool.gap_free else pool.size - free.count()
    return Refused(
        errors_pb2.ERROR_REASON_POOL_EXHAUSTED,
        pool_id=pool_id,
        size=pool.size,
        held=held,
        void=counts.void,
        free=free.count(),
        count=ask.count,
    )


def _fragmented(pool_id: str, pool: PoolRow, free: Free, ask: Ask) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_POOL_FRAGMENTED,
        pool_id=pool_id,
        count=ask.count,
        shape=ask.describe(),
        free=free.count(),
        size=pool.size,
        longest_run=free.longest(),
    )
