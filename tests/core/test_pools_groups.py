"""Reserving a group of numbers, given what happened before."""

from __future__ import annotations

from itertools import pairwise

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.pool_reservations_pb2 import (
    RESERVATION_SHAPE_CONTIGUOUS,
    RESERVATION_SHAPE_OFFSETS,
    NumbersReserved,
)
from gapless_server.core.kinds.pools.choose import BASE_RUNS_MAX, search_base, smallest_base
from gapless_server.core.kinds.pools.free import ListedFree
from gapless_server.core.kinds.pools.ranges import Run, runs_of
from tests.core.pool_commands import (
    ANN,
    BOB,
    PORTS,
    check,
    create,
    held_by,
    pool_of,
    release,
    reservation_of,
    reserve,
    reserve_group,
    update_ranges,
)
from tests.core.story import Story

NUMBER_MAX = 2**63 - 1


@pytest.fixture
def story() -> Story:
    return Story().given(create((1, 10)))


@pytest.fixture
def fragmented() -> Story:
    """1 to 10, of which 1, 3, 5, 7 and 9 are free."""
    story = Story().given(create((1, 10)))
    return story.given(*[reserve(f"n{number}", preferred=number) for number in range(2, 11, 2)])


class CountedFree(ListedFree):
    """Counts how often it is asked for a run."""

    runs_asked_for = 0

    def run_from(self, number: int) -> Run | None:
        self.runs_asked_for += 1
        return super().run_from(number)


class TestAnywhere:
    def test_the_smallest_numbers_are_given(self, fragmented: Story) -> None:
        answer = fragmented.when(reserve_group("g", 3))

        assert list(answer.numbers) == [1, 3, 5]
        assert reservation_of(fragmented, "g").numbers == answer.numbers

    def test_preferred_numbers_are_among_them(self) -> None:
        story = Story().given(create((1, 10), preferred=[7, 9]))

        assert list(story.when(reserve_group("g", 4)).numbers) == [1, 2, 7, 9]

    def test_too_few_free_numbers_refuse_it_whole(self, fragmented: Story) -> None:
        refusal = fragmented.then_refused(reserve_group("g", 6), "POOL_EXHAUSTED")

        assert (refusal.metadata["free"], refusal.metadata["count"]) == ("5", "6")
        assert "g" not in held_by(fragmented)


class TestContiguous:
    def test_the_numbers_follow_each_other(self, story: Story) -> None:
        answer = story.when(reserve_group("g", 4, contiguous=True))

        assert story.then_events() == [
            NumbersReserved(
                pool_id=PORTS,
                owner_id=ANN,
                key="g",
                numbers=[1, 2, 3, 4],
                shape=RESERVATION_SHAPE_CONTIGUOUS,
            )
        ]
        assert list(answer.numbers) == [1, 2, 3, 4]

    def test_the_shortest_run_that_is_long_enough_is_taken(self, story: Story) -> None:
        # Free are then 1-5 and 7-8 and 10.
        story.given(reserve("a", preferred=6), reserve("b", preferred=9))

        assert list(story.when(reserve_group("g", 2, contiguous=True)).numbers) == [7, 8]

    def test_b8_a_fragmented_pool_refuses_it_whole(self, fragmented: Story) -> None:
        refusal = fragmented.then_refused(reserve_group("g", 2, contiguous=True), "POOL_FRAGMENTED")

        assert str(refusal) == (
            "pool ports has no place for a group of 2 numbers (a contiguous group of 2 numbers):"
            " 5 of its 10 numbers are free, 1 of them in a row."
            " Ask for fewer, for numbers that may lie anywhere, or release some"
        )
        assert "g" not in held_by(fragmented)
        assert check(fragmented).ok

    def test_runs_that_touch_count_as_one(self) -> None:
        story = Story().given(create((1, 2), (3, 4)))

        assert list(story.when(reserve_group("g", 4, contiguous=True)).numbers) == [1, 2, 3, 4]


class TestOffsets:
    def test_the_smallest_base_that_fits_is_taken(self, fragmented: Story) -> None:
        answer = fragmented.when(reserve_group("g", offsets=[0, 4, 2]))

        assert fragmented.then_events() == [
            NumbersReserved(
                pool_id=PORTS,
                owner_id=ANN,
                key="g",
                numbers=[1, 3, 5],
                shape=RESERVATION_SHAPE_OFFSETS,
                base=1,
            )
        ]
        assert (list(answer.numbers), answer.base) == ([1, 3, 5], 1)

    def test_the_base_need_not_be_one_of_the_numbers(self, story: Story) -> None:
        answer = story.when(reserve_group("g", offsets=[5]))

        assert (list(answer.numbers), answer.base) == ([5], 0)

    def test_a_given_base_says_exactly_which(self, story: Story) -> None:
        answer = story.when(reserve_group("g", offsets=[0, 2], base=7))

        assert list(answer.numbers) == [7, 9]

    def test_a_number_of_a_given_base_that_is_taken_is_named(self, fragmented: Story) -> None:
        refusal = fragmented.then_refused(
            reserve_group("g", offsets=[0, 1], base=7), "NUMBER_NOT_AVAILABLE"
        )

        assert refusal.metadata["number"] == "8"
        assert "g" not in held_by(fragmented)

    def test_no_base_that_fits_is_refused(self, fragmented: Story) -> None:
        refusal = fragmented.then_refused(reserve_group("g", offsets=[0, 1]), "POOL_FRAGMENTED")

        assert "at offsets 0, 1 from a free base" in str(refusal)

    def test_the_search_for_a_base_ends(self) -> None:
        # Free are the even numbers, and an odd one far above: every even base fits but for the
        # last offset.
        story = Story().given(create((0, NUMBER_MAX)))
        evens = [(number, number) for number in range(0, 2000, 2)]
        story.given(update_ranges(*evens[:900], (NUMBER_MAX, NUMBER_MAX)))

        refusal = story.then_refused(
            reserve_group("g", offsets=[*range(0, 1000, 2), 1001]), "POOL_FRAGMENTED"
        )

        assert BASE_RUNS_MAX == 5_000
        assert refusal.metadata["shape"].endswith(
            "at offsets 0, 2, 4, 6, 8, 10, 12, 14, ... from a free base"
        )

    @given(
        numbers=st.sets(st.integers(0, 60), min_size=1),
        offsets=st.sets(st.integers(0, 12), min_size=1, max_size=6),
    )
    def test_no_smaller_base_would_have_fitted(self, numbers: set[int], offsets: set[int]) -> None:
        free = ListedFree(runs_of(sorted(numbers)), ())

        base = smallest_base(free, sorted(offsets))

        fitting = (base for base in range(61) if {base + o for o in offsets} <= numbers)
        assert base == next(fitting, None)

    def test_offsets_in_a_row_that_no_run_has_room_for_are_not_searched_for(self) -> None:
        free = CountedFree(runs_of(range(0, 40_000, 2)), ())

        assert smallest_base(free, [0, 1]) is None
        assert free.runs_asked_for < 100

    def test_g7_few_runs_are_looked_for_between_two_pauses(self) -> None:
        free = CountedFree(runs_of(range(0, 4000, 2)), ())
        asked_for = [0]

        # The last of the offsets never fits.
        steps = search_base(free, [*range(0, 100, 2), 101])
        asked_for.extend(free.runs_asked_for for _ in steps)

        assert len(asked_for) > 10
        assert max(after - before for before, after in pairwise(asked_for)) <= 50

    def test_the_largest_numbers_can_be_reached(self) -> None:
        story = Story().given(create((NUMBER_MAX - 4, NUMBER_MAX)))

        answer = story.when(reserve_group("g", offsets=[0, 4]))

        assert list(answer.numbers) == [NUMBER_MAX - 4, NUMBER_MAX]
        story.then_refused(reserve_group("h", offsets=[0, NUMBER_MAX]), "POOL_FRAGMENTED")


class TestAgain:
    @pytest.mark.parametrize(
        "command",
        [
            reserve_group("g", 3),
            reserve_group("g", 3, contiguous=True),
            reserve_group("g", offsets=[0, 2, 4]),
            reserve_group("g", offsets=[0, 2, 4], base=3),
        ],
    )
    def test_b9_the_same_again_is_the_same_group(self, story: Story, command: Message) -> None:
        first = story.when(command)

        again = story.when(command)

        assert story.then_events() == []
        assert (again.numbers, again.already_held) == (first.numbers, True)

    def test_offsets_may_come_in_another_order_and_with_the_base_that_was_found(
        self, story: Story
    ) -> None:
        first = story.when(reserve_group("g", offsets=[0, 2]))

        again = story.when(reserve_group("g", offsets=[2, 0], base=first.base))

        assert again.already_held

    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            (reserve_group("g", 2, contiguous=True), "a contiguous group of 2 numbers"),
            (reserve_group("g", 3), "a group of 3 numbers"),
            (reserve("g"), "one number"),
            (
                reserve_group("g", offsets=[0, 1, 2], base=1),
                "a group of 3 numbers at offsets 0, 1, 2 from base 1",
            ),
        ],
    )
    def test_another_shape_under_the_same_key_is_refused(
        self, story: Story, command: Message, expected: str
    ) -> None:
        story.given(reserve_group("g", 3, contiguous=True))

        refusal = story.then_refused(command, "RESERVATION_DIFFERS")

        assert refusal.metadata["found"] == "a contiguous group of 3 numbers"
        assert refusal.metadata["expected"] == expected

    def test_a_group_under_the_key_of_a_number_is_refused(self, story: Story) -> None:
        story.given(reserve("g"))

        refusal = story.then_refused(reserve_group("g", 1), "RESERVATION_DIFFERS")

        assert refusal.metadata["found"] == "number 1"

    def test_other_offsets_or_another_base_are_refused(self, story: Story) -> None:
        story.given(reserve_group("g", offsets=[0, 2]))

        story.then_refused(reserve_group("g", offsets=[0, 3]), "RESERVATION_DIFFERS")
        story.then_refused(reserve_group("g", offsets=[0, 2], base=5), "RESERVATION_DIFFERS")

    def test_an_expired_group_may_come_back_in_another_shape(self, story: Story) -> None:
        story.given(reserve_group("g", 3, ttl_seconds=1), reserve("a", BOB))

        answer = story.when(reserve_group("g", 3, contiguous=True))

        assert list(answer.numbers) == [1, 2, 3]
        assert pool_of(story).held_count == 4
        assert check(story).ok

    def test_a_group_is_released_whole(self, story: Story) -> None:
        story.given(reserve_group("g", offsets=[0, 2, 4]))

        answer = story.when(release("g"))

        assert list(answer.numbers) == [1, 3, 5]
        assert pool_of(story).free_count == 10
        assert check(story).ok


class TestBadInput:
    @pytest.mark.parametrize(
        ("command", "field", "description"),
        [
            (reserve_group("g"), "count", "must be at least 1 where no offsets are given, found 0"),
            (reserve_group("g", -1), "count", "must be at least 0, found -1"),
            (reserve_group("g", 1001), "count", "must be at most 1000, found 1001"),
            (
                reserve_group("g", 2, base=1),
                "base",
                "needs offsets to count from it",
            ),
            (
                reserve_group("g", 2, offsets=[0, 1]),
                "count",
                "must be 0 where offsets are given: they say how many",
            ),
            (
                reserve_group("g", offsets=[0, 1], contiguous=True),
                "contiguous",
                "must not be set where offsets are given",
            ),
            (reserve_group("g", offsets=[0, -1]), "offsets[1]", "must be at least 0, found -1"),
            (
                reserve_group("g", offsets=[1, 0, 1]),
                "offsets[2]",
                "repeats offsets[0], 1; offsets must be different",
            ),
            (
                reserve_group("g", offsets=range(10_000)),
                "offsets",
                "must have at most 1000 items, found 10000",
            ),
            (reserve_group("g", offsets=[0], base=-1), "base", "must be at least 0, found -1"),
            (
                reserve_group("g", offsets=[0, 1], base=NUMBER_MAX),
                "offsets[1]",
                f"leads from base {NUMBER_MAX} beyond the largest number, {NUMBER_MAX}: found 1",
            ),
            (
                reserve_group("g", 1, ttl_seconds=0),
                "ttl_seconds",
                "must be at least 1, found 0",
            ),
        ],
    )
    def test_it_is_refused_naming_the_field(
        self, story: Story, command: Message, field: str, description: str
    ) -> None:
        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata == {"field": field, "description": description}

    def test_every_offset_that_repeats_is_named(self, story: Story) -> None:
        refusal = story.then_refused(reserve_group("g", offsets=[5, 5, 5]), "INVALID_FIELD")

        assert [fault.field for fault in refusal.faults] == ["offsets[1]", "offsets[2]"]
