"""Gap-free pools: numbers in order, never used again, and a record of those that became void."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.pool_reservations_pb2 import (
    RELEASE_CAUSE_EXPIRED,
    RELEASE_CAUSE_OWNER_GONE,
    RELEASE_CAUSE_RELEASED,
    ListVoidNumbersRequest,
    VoidNumber,
)
from gapless_server.core.times import to_timestamp
from tests.core.pool_commands import (
    ANN,
    BOB,
    PORTS,
    check,
    clean_up,
    confirm,
    create,
    held_by,
    pool_of,
    release,
    reserve,
    reserve_group,
    status_of,
    update_ranges,
)
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def story() -> Story:
    return Story().given(create((1, 9), gap_free=True))


def voids(story: Story) -> list[VoidNumber]:
    return list(story.read(ListVoidNumbersRequest(pool_id=PORTS)).void_numbers)


class TestOrder:
    def test_a_released_number_becomes_void_and_is_not_given_again(self, story: Story) -> None:
        story.given(reserve("a"), reserve("b"), release("a"))

        assert story.when(reserve("c")).number == 3
        assert voids(story) == [
            VoidNumber(
                number=1,
                owner_id=ANN,
                key="a",
                create_time=to_timestamp(START_TIME_US + 2 * STEP_US),
                void_time=to_timestamp(START_TIME_US + 4 * STEP_US),
                cause=RELEASE_CAUSE_RELEASED,
            )
        ]
        assert status_of(story, 1) == "VOID"
        assert check(story).ok
        story.assert_sound()

    def test_a_refused_command_uses_up_no_number(self, story: Story) -> None:
        story.given(reserve("a"))

        story.then_refused(reserve_group("g", 9), "POOL_EXHAUSTED")
        story.undone([reserve("b"), reserve("c")])

        assert story.when(reserve("d")).number == 2

    def test_a_group_has_the_next_numbers(self, story: Story) -> None:
        story.given(reserve("a"))

        assert list(story.when(reserve_group("g", 2)).numbers) == [2, 3]
        assert list(story.when(reserve_group("h", 2, contiguous=True)).numbers) == [4, 5]

    def test_excluded_numbers_are_left_out(self) -> None:
        story = Story().given(create((1, 9), exclusions=[(2, 3)], gap_free=True))

        story.given(reserve("a"))

        story.then_refused(reserve_group("g", 7, contiguous=True), "POOL_EXHAUSTED")
        assert list(story.when(reserve_group("g", 2)).numbers) == [4, 5]
        story.assert_sound()

    def test_a_contiguous_group_does_not_leave_numbers_out(self) -> None:
        story = Story().given(create((1, 9), exclusions=[(2, 2)], gap_free=True))

        refusal = story.then_refused(reserve_group("g", 3, contiguous=True), "POOL_FRAGMENTED")

        assert refusal.metadata["free"] == "8"
        assert story.when(reserve("a")).number == 1

    def test_the_pool_says_where_it_stands(self, story: Story) -> None:
        assert not pool_of(story).HasField("last_number")

        story.given(reserve("a"), reserve("b"), release("a"))

        pool = pool_of(story)
        assert (pool.last_number, pool.held_count, pool.void_count) == (2, 1, 1)
        assert (pool.size, pool.free_count) == (9, 7)

    def test_once_its_last_number_is_given_it_is_full(self) -> None:
        story = Story().given(create((1, 2), gap_free=True), reserve("a"), reserve("b"))
        story.given(release("a"))

        refusal = story.then_refused(reserve("c"), "POOL_EXHAUSTED")

        assert str(refusal).startswith(
            "pool ports has 0 of its 2 numbers free, 1 held and 1 void; 1 asked for."
        )

    def test_the_last_number_of_all_can_be_given(self) -> None:
        number_max = 2**63 - 1
        story = Story().given(create((number_max, number_max), gap_free=True))

        assert story.when(reserve("a")).number == number_max
        story.then_refused(reserve("b"), "POOL_EXHAUSTED")


class TestExpiry:
    def test_an_expired_number_becomes_void_when_its_owner_reserves_again(
        self, story: Story
    ) -> None:
        story.given(reserve("a", ttl_seconds=1))

        answer = story.when(reserve("a"))

        assert (answer.number, answer.already_held) == (2, False)
        assert [(one.number, one.cause) for one in voids(story)] == [(1, RELEASE_CAUSE_EXPIRED)]
        story.assert_sound()

    def test_a_sweep_would_not_help_and_is_not_made(self) -> None:
        story = Story().given(create((1, 1), gap_free=True), reserve("a", ttl_seconds=1))

        story.then_refused(reserve("b"), "POOL_EXHAUSTED")

        assert held_by(story) == {"a": [1]}

    def test_a_clean_up_leaves_a_void_for_each_number(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), reserve_group("g", 2, BOB))

        story.given(clean_up(BOB))

        assert [(one.number, one.cause) for one in voids(story)] == [
            (1, RELEASE_CAUSE_EXPIRED),
            (2, RELEASE_CAUSE_OWNER_GONE),
            (3, RELEASE_CAUSE_OWNER_GONE),
        ]
        assert check(story).ok

    def test_what_is_confirmed_stays(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=2), confirm("a"), clean_up())

        assert held_by(story) == {"a": [1]}


class TestRangeChange:
    def test_it_goes_on_above_the_last_number_given(self, story: Story) -> None:
        story.given(*map(reserve, "abc"), update_ranges((2, 2), (100, 109)))

        assert story.when(reserve("d")).number == 100
        assert pool_of(story).outside_count == 2
        story.assert_sound()

    def test_smaller_numbers_that_come_into_the_range_are_passed(self) -> None:
        story = Story().given(create((100, 109), gap_free=True), reserve("a"))

        story.given(update_ranges((1, 109)))

        assert story.when(reserve("b")).number == 101
        assert [status_of(story, number) for number in (1, 100, 102)] == ["PASSED", "HELD", "FREE"]
        assert pool_of(story).free_count == 8

    def test_a_range_below_what_was_given_is_full(self, story: Story) -> None:
        story.given(*map(reserve, "abc"), update_ranges((1, 3)))

        story.then_refused(reserve("d"), "POOL_EXHAUSTED")


class TestBadInput:
    @pytest.mark.parametrize(
        ("command", "field"),
        [
            (reserve("a", preferred=5), "preferred_number"),
            (reserve_group("g", offsets=[0, 1]), "offsets"),
        ],
    )
    def test_no_number_can_be_asked_for_by_name(
        self, story: Story, command: Message, field: str
    ) -> None:
        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata == {
            "field": field,
            "description": (
                "must not be given for pool ports: it is gap-free and gives its numbers in order"
            ),
        }


def test_void_numbers_are_listed_by_page(story: Story) -> None:
    story.given(*map(reserve, "abc"), *map(release, "cab"))

    first = story.read(ListVoidNumbersRequest(pool_id=PORTS, page_size=2))
    second = story.read(
        ListVoidNumbersRequest(pool_id=PORTS, page_size=2, page_token=first.next_page_token)
    )

    found = [one.number for one in [*first.void_numbers, *second.void_numbers]]
    assert found == [1, 2, 3]
