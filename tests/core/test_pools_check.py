"""CheckPool finds every way in which the tables of a pool can disagree, and says which."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from gapless_server.core.kinds.pools.tables import HeldRow, PoolTables
from gapless_server.core.state import State
from tests.core.pool_commands import (
    ANN,
    BOB,
    PORTS,
    check,
    create,
    reserve,
    reserve_group,
    update_ranges,
)
from tests.core.story import Story

Damage = Callable[[PoolTables], None]


@pytest.fixture
def story() -> Story:
    """Of a pool of the numbers 1 to 20, where ANN holds 1 and 2 to 4, and BOB 5 for a while."""
    return Story().given(
        create((1, 20), preferred=[9, 7]),
        reserve("one", preferred=1),
        reserve_group("three", 3, contiguous=True),
        reserve("expires", BOB, preferred=5, ttl_seconds=1000),
    )


def tables_of(state: State) -> PoolTables:
    return state.of(PoolTables)


def a_run_is_held_by_nobody(tables: PoolTables) -> None:
    tables.reservations.delete(PORTS, (ANN, "three"))


def a_run_is_not_held(tables: PoolTables) -> None:
    tables.held.delete(PORTS, 4)


def a_run_is_held_by_another(tables: PoolTables) -> None:
    tables.held.put(PORTS, 4, HeldRow(2, (BOB, "expires")))


def a_number_is_held_twice(tables: PoolTables) -> None:
    tables.held.put(PORTS, 5, HeldRow(4, (BOB, "expires")))


def a_free_run_is_not_kept(tables: PoolTables) -> None:
    tables.free.delete(PORTS, 20)


def a_free_run_is_kept_that_is_none(tables: PoolTables) -> None:
    tables.free.put(PORTS, 30, 25)


def a_free_run_begins_elsewhere(tables: PoolTables) -> None:
    tables.free.put(PORTS, 20, 8)


def a_length_is_not_kept(tables: PoolTables) -> None:
    tables.free_lengths.delete(PORTS, (15, 6))


def a_length_is_kept_of_no_run(tables: PoolTables) -> None:
    tables.free_lengths.put(PORTS, (2, 40), True)


def a_preferred_number_is_not_kept(tables: PoolTables) -> None:
    tables.free_preferred.delete(PORTS, 0)


def an_end_is_not_kept(tables: PoolTables) -> None:
    [(key, _)] = tables.expiries.scan(PORTS)
    tables.expiries.delete(PORTS, key)


def an_end_is_kept_of_nothing(tables: PoolTables) -> None:
    tables.expiries.put(PORTS, (7, ANN, "one"), True)


def a_count_is_wrong(tables: PoolTables) -> None:
    counts = tables.counts.get(PORTS)
    assert counts is not None
    tables.counts.put(PORTS, msgspec.structs.replace(counts, held=6, reservations=2))


@pytest.mark.parametrize(
    ("damage", "problems"),
    [
        (
            a_run_is_held_by_nobody,
            {
                "numbers 2-4 are held for owner ann, key three, whose reservation does not have"
                " them",
                "the count of reservations is 3, found 2",
            },
        ),
        (
            a_run_is_not_held,
            {
                "the reservation of owner ann under key three does not hold its numbers 2-4",
                "the count of held numbers is 5, found 2",
                "the numbers 2-4 should be a run of free numbers and are not",
            },
        ),
        (
            a_run_is_held_by_another,
            {
                "numbers 2-4 are held for owner bob, key expires, whose reservation does not have"
                " them",
                "the reservation of owner ann under key three does not hold its numbers 2-4",
            },
        ),
        (
            a_number_is_held_twice,
            {
                "number 4 is held twice",
                "numbers 4-5 are held for owner bob, key expires, whose reservation does not have"
                " them",
                "the reservation of owner bob under key expires does not hold its numbers 5-5",
                "the count of held numbers is 5, found 6",
            },
        ),
        (
            a_free_run_is_not_kept,
            {
                "the numbers 6-20 should be a run of free numbers and are not",
                "the first run of free numbers is not kept as it is",
                "the lengths of the runs of free numbers are not kept as they are",
                "the free preferred numbers are kept as [9, 7] and are others",
            },
        ),
        (
            a_free_run_is_kept_that_is_none,
            {
                "the numbers 25-30 are kept as a run of free numbers and are not",
                "the lengths of the runs of free numbers are not kept as they are",
            },
        ),
        (
            a_free_run_begins_elsewhere,
            {
                "the numbers 6-20 should be a run of free numbers and are not",
                "the numbers 8-20 are kept as a run of free numbers and are not",
                "the first run of free numbers is not kept as it is",
                "the lengths of the runs of free numbers are not kept as they are",
                "the free preferred numbers are kept as [9, 7] and are others",
            },
        ),
        (
            a_length_is_not_kept,
            {"the lengths of the runs of free numbers are not kept as they are"},
        ),
        (
            a_length_is_kept_of_no_run,
            {"the lengths of the runs of free numbers are not kept as they are"},
        ),
        (
            a_preferred_number_is_not_kept,
            {"the free preferred numbers are kept as [7] and are others"},
        ),
        (
            an_end_is_not_kept,
            {"the expiry of owner bob, key expires is not kept as it is"},
        ),
        (
            an_end_is_kept_of_nothing,
            {"the expiry of owner ann, key one is not kept as it is"},
        ),
        (
            a_count_is_wrong,
            {
                "the count of held numbers is 6, found 5",
                "the count of reservations is 2, found 3",
            },
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_fit_is_named(story: Story, damage: Damage, problems: set[str]) -> None:
    assert check(story).ok
    damage(tables_of(story.state))

    found = check(story)

    assert not found.ok
    assert set(found.problems) == problems


def test_numbers_that_are_held_outside_are_named_and_no_problem(story: Story) -> None:
    story.given(update_ranges((4, 20)))

    found = check(story)

    assert found.ok
    assert list(found.outside_numbers) == [1, 2, 3]
