"""Pools: what creating, changing and checking one does, given what happened before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from google.protobuf.message import Message

from gapless.v1.pools_pb2 import (
    CreatePoolRequest,
    GetPoolRequest,
    ListPoolsRequest,
    NumberRange,
    PoolCreated,
    PoolUpdated,
)
from tests.core.pool_commands import (
    PORTS,
    check,
    create,
    held_by,
    pool_of,
    ranges,
    release,
    reservation_of,
    reserve,
    reserve_group,
    status_of,
    update,
    update_ranges,
)
from tests.core.story import Story

NUMBER_MAX = 2**63 - 1


@pytest.fixture
def story() -> Story:
    return Story()


def spans(found: Sequence[NumberRange]) -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in found]


class TestCreate:
    def test_a_new_pool_has_all_its_numbers_free(self, story: Story) -> None:
        answer = story.when(create((10, 19), exclusions=[(12, 13)], preferred=[15]))

        assert story.then_events() == [
            PoolCreated(
                pool_id=PORTS,
                ranges=ranges((10, 19)),
                exclusions=ranges((12, 13)),
                preferred_numbers=[15],
            )
        ]
        assert (answer.pool.size, answer.pool.free_count, answer.pool.held_count) == (8, 8, 0)
        assert pool_of(story) == answer.pool

    def test_ranges_come_back_in_order_with_neighbours_joined(self, story: Story) -> None:
        answer = story.when(create((30, 39), (5, 9), (1, 4)))

        assert spans(answer.pool.ranges) == [(1, 9), (30, 39)]

    def test_the_same_again_changes_nothing(self, story: Story) -> None:
        story.given(create((1, 4), (5, 9)), reserve("a"))

        answer = story.when(create((1, 9)))

        assert story.then_events() == []
        assert answer.pool == pool_of(story)
        assert answer.pool.held_count == 1

    def test_other_settings_are_refused_naming_what_differs(self, story: Story) -> None:
        story.given(create((1, 9)))

        refusal = story.then_refused(
            create((1, 8), exclusions=[(2, 2)], preferred=[3]), "POOL_ALREADY_EXISTS"
        )

        assert str(refusal) == (
            "pool ports already exists with other settings;"
            " different: ranges, exclusions, preferred_numbers"
        )

    def test_2_to_the_63_numbers_cost_no_more_than_ten(self, story: Story) -> None:
        story.given(create((0, NUMBER_MAX), exclusions=[(0, 9)]))

        assert pool_of(story).size == 2**63 - 10
        assert story.when(reserve("first")).number == 10
        assert story.when(reserve("last", preferred=NUMBER_MAX)).number == NUMBER_MAX
        assert check(story).ok
        story.assert_sound()


class TestBadSettings:
    @pytest.mark.parametrize(
        ("command", "field", "description"),
        [
            (create(), "ranges", "must have at least one item"),
            (create((5, 4)), "ranges[0].last", "must be at least first, 5; found 4"),
            (create((1, 5), (9, 9), (5, 7)), "ranges[2]", "5-7 overlaps ranges[0], 1-5"),
            (create((-1, 5)), "ranges[0].first", "must be at least 0, found -1"),
            (
                CreatePoolRequest(pool_id=PORTS, ranges=[NumberRange()]),
                "ranges[0].first",
                "is required",
            ),
            (
                CreatePoolRequest(pool_id=PORTS, ranges=ranges((1, 1)) * 1001),
                "ranges",
                "must have at most 1000 items, found 1001",
            ),
            (
                create((1, 9), exclusions=[(3, 2)]),
                "exclusions[0].last",
                "must be at least first, 3; found 2",
            ),
            (
                create((1, 9), exclusions=[(1, 5), (5, 9)]),
                "exclusions[1]",
                "5-9 overlaps exclusions[0], 1-5",
            ),
            (
                create((1, 9), exclusions=[(0, NUMBER_MAX)]),
                "exclusions",
                "leave no number of the ranges; at least one must be left",
            ),
            (
                create((1, 9), preferred=[3, 3]),
                "preferred_numbers[1]",
                "repeats preferred_numbers[0], 3",
            ),
            (
                create((1, 9), preferred=[10]),
                "preferred_numbers[0]",
                "must be a number that the pool may give, found 10",
            ),
            (
                create((1, 9), preferred=[1], gap_free=True),
                "preferred_numbers",
                "must be empty for a gap-free pool: it gives its numbers in order",
            ),
        ],
    )
    def test_bad_settings_are_refused_naming_the_field(
        self, story: Story, command: Message, field: str, description: str
    ) -> None:
        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata == {"field": field, "description": description}


class TestUpdate:
    def test_what_is_held_outside_the_new_range_stays_held_and_is_reported(
        self, story: Story
    ) -> None:
        story.given(create((1, 9)), reserve_group("g", 3, contiguous=True), reserve("a"))

        answer = story.when(update_ranges((3, 20)))

        assert story.then_events() == [PoolUpdated(pool_id=PORTS, ranges=ranges((3, 20)))]
        assert (answer.pool.held_count, answer.pool.outside_count) == (4, 2)
        assert answer.pool == pool_of(story)
        assert list(reservation_of(story, "g").outside_numbers) == [1, 2]
        assert list(check(story).outside_numbers) == [1, 2]
        assert check(story).ok

    def test_a_number_that_is_released_outside_is_not_given_again(self, story: Story) -> None:
        story.given(create((1, 2)), reserve("a"), reserve("b"), update_ranges((2, 3)))

        story.given(release("a"))

        assert story.when(reserve("c")).number == 3
        story.then_refused(reserve("d"), "POOL_EXHAUSTED")
        assert status_of(story, 1) == "OUT_OF_RANGE"

    def test_a_range_that_grows_again_takes_back_what_is_held(self, story: Story) -> None:
        story.given(create((1, 3)), reserve("a"), update_ranges((3, 3)), update_ranges((1, 2)))

        assert pool_of(story).outside_count == 0
        assert story.when(reserve("b")).number == 2
        assert check(story).ok
        story.assert_sound()

    def test_numbers_come_from_the_range_in_force(self, story: Story) -> None:
        story.given(create((1, 9)), reserve("a"), update_ranges((50, 59)))

        assert story.when(reserve("b")).number == 50
        story.assert_sound()

    def test_only_what_the_mask_names_is_changed(self, story: Story) -> None:
        story.given(create((1, 9), exclusions=[(1, 1)], preferred=[7]))

        answer = story.when(update("exclusions", spans=[(90, 99)], exclusions=[(2, 2)]))

        assert spans(answer.pool.ranges) == [(1, 9)]
        assert spans(answer.pool.exclusions) == [(2, 2)]
        assert list(answer.pool.preferred_numbers) == [7]

    def test_preferred_numbers_are_given_anew(self, story: Story) -> None:
        story.given(create((1, 9), preferred=[5]), update("preferred_numbers", preferred=[8, 6]))

        assert [story.when(reserve(key)).number for key in "abc"] == [8, 6, 1]

    def test_the_same_again_changes_nothing(self, story: Story) -> None:
        story.given(create((1, 9)))

        story.given(update_ranges((1, 5), (6, 9)))

        assert story.then_events() == []

    def test_a_preferred_number_must_stay_in_the_range(self, story: Story) -> None:
        story.given(create((1, 9), preferred=[9]))

        refusal = story.then_refused(update_ranges((1, 8)), "INVALID_FIELD")

        assert refusal.metadata["field"] == "preferred_numbers[0]"

    @pytest.mark.parametrize(
        ("command", "field"),
        [
            (update(), "update_mask"),
            (update("gap_free"), "update_mask"),
            (update("ranges"), "ranges"),
            (update_ranges((2, 1)), "ranges[0].last"),
            (update("exclusions", exclusions=[(1, 9)]), "exclusions"),
        ],
    )
    def test_bad_input_is_refused_naming_the_field(
        self, story: Story, command: Message, field: str
    ) -> None:
        story.given(create((1, 9)))

        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata["field"] == field

    def test_a_missing_pool_is_refused(self, story: Story) -> None:
        story.then_refused(update_ranges((1, 9)), "POOL_NOT_FOUND")


class TestReads:
    def test_pools_are_listed_in_the_order_of_their_ids(self, story: Story) -> None:
        story.given(*[create((1, 9), pool_id=pool_id) for pool_id in ("c", "a", "b")])

        first = story.read(ListPoolsRequest(page_size=2))
        rest = story.read(ListPoolsRequest(page_size=2, page_token=first.next_page_token))

        found = [pool.pool_id for pool in [*first.pools, *rest.pools]]
        assert found == ["a", "b", "c"]
        assert rest.next_page_token == ""

    def test_a_missing_pool_is_not_found(self, story: Story) -> None:
        refusal = story.then_read_refused(GetPoolRequest(pool_id="x"), "POOL_NOT_FOUND")

        assert str(refusal) == "pool x does not exist; create it first"

    def test_a_number_says_what_has_become_of_it(self, story: Story) -> None:
        story.given(create((1, 9), exclusions=[(5, 5)]), reserve("a"))

        assert [status_of(story, number) for number in (1, 2, 5, 10)] == [
            "HELD",
            "FREE",
            "EXCLUDED",
            "OUT_OF_RANGE",
        ]


class TestUndo:
    def test_a_failed_batch_leaves_the_pool_as_it_was(self, story: Story) -> None:
        story.given(create((1, 9)), reserve("a"), reserve_group("g", 3, contiguous=True))

        story.undone(
            [
                reserve("b"),
                release("a"),
                reserve_group("h", 2),
                update_ranges((4, 6)),
                create((1, 9), pool_id="other"),
            ]
        )

        assert held_by(story) == {"a": [1], "g": [2, 3, 4]}
        assert check(story).ok
        assert story.when(reserve("b")).number == 5
