"""Arithmetic of runs, against sets of numbers, and at the edge of what a number can be."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gapless_server.core.kinds.pools.ranges import (
    NUMBER_MAX,
    Run,
    Runs,
    all_within,
    from_number,
    holds,
    joined,
    numbers_in,
    overlap,
    runs_of,
    side_by_side,
    size,
    subtract,
    within,
)

NUMBERS = st.integers(0, 30)
SETS = st.frozensets(NUMBERS)


@st.composite
def disjoint_runs(draw: st.DrawFn) -> Runs:
    """Runs in order without overlap; neighbours may touch."""
    edges = sorted(draw(st.lists(NUMBERS, unique=True)))
    runs = []
    position = 0
    for edge in edges:
        if draw(st.booleans()) and edge >= position:
            first = draw(st.integers(position, edge))
            runs.append(Run(first, edge))
        position = edge + 1
    return tuple(runs)


def as_set(runs: Runs) -> set[int]:
    return set(numbers_in(runs))


@given(SETS)
def test_numbers_make_joined_runs_of_just_them(numbers: frozenset[int]) -> None:
    runs = runs_of(sorted(numbers))

    assert as_set(runs) == numbers
    assert size(runs) == len(numbers)
    assert all(left.last + 1 < right.first for left, right in pairwise(runs))


@given(disjoint_runs())
def test_joining_keeps_the_numbers_and_leaves_no_neighbours(runs: Runs) -> None:
    assert joined(reversed(runs)) == runs_of(sorted(as_set(runs)))


@given(disjoint_runs(), disjoint_runs())
def test_subtracting_leaves_what_is_not_in_the_holes(runs: Runs, holes: Runs) -> None:
    left = subtract(runs, holes)

    assert as_set(left) == as_set(runs) - as_set(holes)
    assert list(left) == sorted(left)


@given(disjoint_runs(), disjoint_runs())
def test_side_by_side_stand_runs_that_end_with_the_same_number(before: Runs, after: Runs) -> None:
    pairs = list(side_by_side(before, after))

    assert tuple(old for old, _ in pairs if old is not None) == before
    assert tuple(new for _, new in pairs if new is not None) == after
    lasts = [{run.last for run in pair if run is not None} for pair in pairs]
    assert [{last} for last in sorted(set().union(*lasts))] == lasts


@given(disjoint_runs(), disjoint_runs())
def test_the_parts_within_are_what_both_have(parts: Runs, runs: Runs) -> None:
    assert as_set(all_within(parts, runs)) == as_set(parts) & as_set(runs)


@given(disjoint_runs(), NUMBERS)
def test_holding_and_beginning_at_a_number(runs: Runs, number: int) -> None:
    assert holds(runs, number) == (number in as_set(runs))
    assert as_set(tuple(from_number(runs, number))) == {n for n in as_set(runs) if n >= number}


@given(st.lists(st.tuples(NUMBERS, st.integers(0, 5)).map(lambda pair: Run(pair[0], sum(pair)))))
def test_an_overlap_names_two_runs_with_a_number_in_common(runs: list[Run]) -> None:
    found = overlap(runs)

    if found is None:
        assert size(runs) == len({number for run in runs for number in numbers_in([run])})
    else:
        earlier, later = found
        assert earlier < later
        assert as_set((runs[earlier],)) & as_set((runs[later],))


def test_the_whole_space_costs_no_more_than_ten_numbers() -> None:
    everything = (Run(0, NUMBER_MAX),)

    left = subtract(everything, (Run(5, 5), Run(NUMBER_MAX, NUMBER_MAX)))

    assert size(everything) == 2**63
    assert left == (Run(0, 4), Run(6, NUMBER_MAX - 1))
    assert within(Run(NUMBER_MAX, NUMBER_MAX), everything) == (Run(NUMBER_MAX, NUMBER_MAX),)
    assert holds(everything, NUMBER_MAX)
