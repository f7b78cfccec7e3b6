"""Reserving one number, given what happened before."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.pool_reservations_pb2 import (
    RELEASE_CAUSE_EXPIRED,
    RESERVATION_SHAPE_SINGLE,
    ListReservationsRequest,
    NumbersReserved,
    ReleasedReservation,
    ReservationsReleased,
    ReserveNumberRequest,
)
from gapless_server.core.times import from_timestamp
from tests.core.pool_commands import (
    ANN,
    BOB,
    PORTS,
    check,
    create,
    held_by,
    let_pass,
    pool_of,
    release,
    reservation_of,
    reserve,
    reserve_group,
    update_ranges,
)
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def story() -> Story:
    return Story().given(create((1, 3)))


class TestOneNumber:
    def test_the_smallest_free_number_is_given(self, story: Story) -> None:
        answer = story.when(reserve("http"))

        assert story.then_events() == [
            NumbersReserved(
                pool_id=PORTS,
                owner_id=ANN,
                key="http",
                numbers=[1],
                shape=RESERVATION_SHAPE_SINGLE,
            )
        ]
        assert (answer.number, answer.already_held) == (1, False)
        assert not answer.HasField("expire_time")

    def test_b9_the_same_owner_and_key_is_the_same_number(self, story: Story) -> None:
        first = story.when(reserve("http"))

        again = story.when(reserve("http"))

        assert story.then_events() == []
        assert (again.number, again.already_held) == (first.number, True)

    def test_another_key_and_another_owner_are_other_numbers(self, story: Story) -> None:
        answers = [story.when(reserve(*name)) for name in (("a", ANN), ("b", ANN), ("a", BOB))]

        assert [answer.number for answer in answers] == [1, 2, 3]

    def test_a_released_number_is_given_again(self, story: Story) -> None:
        story.given(reserve("a"), reserve("b"), release("a"))

        assert story.when(reserve("c")).number == 1

    def test_excluded_numbers_are_not_given(self) -> None:
        story = Story().given(create((1, 5), exclusions=[(1, 2), (4, 4)]))

        assert [story.when(reserve(key)).number for key in "ab"] == [3, 5]
        story.then_refused(reserve("c"), "POOL_EXHAUSTED")

    def test_preferred_numbers_are_given_first_in_their_order(self) -> None:
        story = Story().given(create((1, 5), preferred=[4, 2]))

        assert [story.when(reserve(key)).number for key in "abcd"] == [4, 2, 1, 3]
        story.given(release("b"), release("a"))
        assert story.when(reserve("e")).number == 4

    def test_b5_a_full_pool_refuses_naming_itself_and_its_size(self, story: Story) -> None:
        story.given(reserve("a"), reserve("b"), reserve("c"))

        refusal = story.then_refused(reserve("d"), "POOL_EXHAUSTED")

        assert str(refusal) == (
            "pool ports has 0 of its 3 numbers free, 3 held and 0 void; 1 asked for."
            " Release some, or extend its ranges"
        )
        assert refusal.metadata["size"] == "3"
        assert refusal.metadata["held"] == "3"

    def test_a_missing_pool_is_refused(self) -> None:
        Story().then_refused(reserve("a"), "POOL_NOT_FOUND")


class TestPreferredNumber:
    def test_it_is_given_if_it_is_free(self, story: Story) -> None:
        assert story.when(reserve("a", preferred=3)).number == 3

    def test_another_is_given_if_it_is_not(self, story: Story) -> None:
        story.given(reserve("a", preferred=3))

        assert story.when(reserve("b", preferred=3)).number == 1
        assert story.when(reserve("c", preferred=99)).number == 2

    def test_it_gives_way_to_what_is_held_under_the_key(self, story: Story) -> None:
        story.given(reserve("a"))

        answer = story.when(reserve("a", preferred=3))

        assert (answer.number, answer.already_held) == (1, True)

    def test_nothing_else_is_given_if_so_asked(self, story: Story) -> None:
        story.given(reserve("a", preferred=3))

        refusal = story.then_refused(
            reserve("b", preferred=3, only_preferred=True), "NUMBER_NOT_AVAILABLE"
        )

        assert str(refusal) == (
            "number 3 of pool ports is not free: owner ann holds it under key a."
            " Ask for another one"
        )

    def test_what_keeps_it_from_being_given_is_said(self) -> None:
        story = Story().given(create((1, 5), exclusions=[(2, 2)]))

        texts = [
            story.then_refused(
                reserve("a", preferred=number, only_preferred=True), "NUMBER_NOT_AVAILABLE"
            ).metadata["description"]
            for number in (2, 6)
        ]

        assert texts == ["it is excluded", "it is in none of the pool's ranges"]

    def test_another_number_under_the_key_differs_if_only_it_will_do(self, story: Story) -> None:
        story.given(reserve("a"))

        refusal = story.then_refused(
            reserve("a", preferred=3, only_preferred=True), "RESERVATION_DIFFERS"
        )

        assert str(refusal) == (
            "owner ann already holds number 1 under key a in pool ports, asked for number 3;"
            " use another key, or release it first"
        )


class TestTimeToLive:
    def test_it_ends_that_long_after_the_commit(self, story: Story) -> None:
        answer = story.when(reserve("a", ttl_seconds=30))

        # Entry 1 made the pool; entry 2 this.
        assert from_timestamp(answer.expire_time) == START_TIME_US + 32 * STEP_US
        assert reservation_of(story, "a").expire_time == answer.expire_time

    def test_the_same_again_leaves_it_as_it_is(self, story: Story) -> None:
        first = story.when(reserve("a", ttl_seconds=30))

        again = story.when(reserve("a", ttl_seconds=60))

        assert again.expire_time == first.expire_time
        assert story.then_events() == []

    def test_one_that_is_expired_is_shown_so_and_keeps_its_number_for_now(
        self, story: Story
    ) -> None:
        story.given(reserve("a", ttl_seconds=2))
        assert not reservation_of(story, "a").expired

        let_pass(story, 1)

        assert reservation_of(story, "a").expired
        assert story.when(reserve("b")).number == 2
        assert check(story).expired_count == 1

    def test_its_owner_gets_the_same_number_again_as_a_new_reservation(self, story: Story) -> None:
        story.given(reserve("x"), reserve("a", ttl_seconds=1), release("x"))

        answer = story.when(reserve("a"))

        assert story.then_events() == [
            ReservationsReleased(
                pool_id=PORTS,
                reservations=[
                    ReleasedReservation(
                        owner_id=ANN, key="a", numbers=[2], cause=RELEASE_CAUSE_EXPIRED
                    )
                ],
            ),
            NumbersReserved(
                pool_id=PORTS, owner_id=ANN, key="a", numbers=[2], shape=RESERVATION_SHAPE_SINGLE
            ),
        ]
        assert (answer.number, answer.already_held) == (2, False)

    def test_it_gets_another_one_if_the_old_one_is_no_longer_in_the_range(
        self, story: Story
    ) -> None:
        story.given(reserve("a", ttl_seconds=1), update_ranges((2, 3)))

        assert story.when(reserve("a")).number == 2
        assert pool_of(story).outside_count == 0
        assert check(story).ok

    def test_it_gets_the_one_that_it_prefers_now(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), update_ranges((1, 4)))

        assert story.when(reserve("a", preferred=3)).number == 3
        assert story.when(reserve("b")).number == 1
        assert check(story).ok


class TestSweep:
    def test_a_full_pool_is_swept_in_the_same_entry(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), reserve("b"), reserve("c", ttl_seconds=1))

        answer = story.when(reserve("d", BOB))

        assert answer.number == 1
        assert [type(event).__name__ for event in story.then_events()] == [
            "ReservationsReleased",
            "NumbersReserved",
        ]
        assert held_by(story) == {"b": [2], "d": [1]}
        assert check(story).ok
        story.assert_sound()

    def test_a_preferred_number_that_is_swept_comes_first(self) -> None:
        story = Story().given(create((1, 3), preferred=[3]), *map(reserve, "ab"))
        story.given(release("a"), reserve("c", ttl_seconds=1), release("b"))
        story.given(reserve("x", preferred=1), reserve("y", preferred=2))

        assert story.when(reserve("d")).number == 3

    def test_nothing_is_swept_while_there_is_room(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), reserve("b"), reserve("c"))

        assert held_by(story) == {"a": [1], "b": [2], "c": [3]}

    def test_a_sweep_that_does_not_help_leaves_no_trace(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), reserve("b"), reserve("c"), update_ranges((2, 3)))

        refusal = story.then_refused(reserve("d"), "POOL_EXHAUSTED")

        assert refusal.metadata["free"] == "0"
        assert held_by(story)["a"] == [1]

    def test_a_refusal_counts_what_a_sweep_would_leave(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), reserve("b"), reserve("c"))

        refusal = story.then_refused(reserve_group("g", 2), "POOL_EXHAUSTED")

        assert (refusal.metadata["free"], refusal.metadata["held"]) == ("1", "2")

    def test_only_the_number_asked_for_is_swept_for(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1), reserve("b"))

        answer = story.when(reserve("c", BOB, preferred=1, only_preferred=True))

        assert answer.number == 1
        assert held_by(story) == {"b": [2], "c": [1]}

    def test_b8_a_group_is_given_what_a_sweep_joins(self, story: Story) -> None:
        story.given(reserve("a"), reserve("b", ttl_seconds=1), release("a"))

        answer = story.when(reserve_group("g", 3, contiguous=True))

        assert list(answer.numbers) == [1, 2, 3]
        assert check(story).ok


class TestBadInput:
    @pytest.mark.parametrize(
        ("command", "field"),
        [
            (ReserveNumberRequest(owner_id=ANN, key="a"), "pool_id"),
            (ReserveNumberRequest(pool_id=PORTS, key="a"), "owner_id"),
            (ReserveNumberRequest(pool_id=PORTS, owner_id=ANN), "key"),
            (reserve("k" * 129), "key"),
            (reserve("a", preferred=-1), "preferred_number"),
            (reserve("a", only_preferred=True), "preferred_number"),
            (reserve("a", ttl_seconds=0), "ttl_seconds"),
            (reserve("a", ttl_seconds=-1), "ttl_seconds"),
            (reserve("a", ttl_seconds=2**63 - 1), "ttl_seconds"),
        ],
    )
    def test_it_is_refused_naming_the_field(
        self, story: Story, command: Message, field: str
    ) -> None:
        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata["field"] == field


class TestList:
    def test_pages_are_in_the_order_of_owner_and_key(self, story: Story) -> None:
        story.given(reserve("b", BOB), reserve("b", ANN), reserve("a", BOB))

        found: list[tuple[str, str]] = []
        token = ""
        while not found or token:
            page = story.read(ListReservationsRequest(pool_id=PORTS, page_size=1, page_token=token))
            found += [(one.owner_id, one.key) for one in page.reservations]
            token = page.next_page_token

        assert found == [(ANN, "b"), (BOB, "a"), (BOB, "b")]

    def test_one_owner_is_listed_alone_by_page(self, story: Story) -> None:
        story.given(reserve("b", BOB), reserve("b", ANN), reserve("a", BOB))

        request = ListReservationsRequest(pool_id=PORTS, owner_id=BOB, page_size=1)
        first = story.read(request)
        request.page_token = first.next_page_token
        second = story.read(request)

        assert [first.reservations[0].key, second.reservations[0].key] == ["a", "b"]
        assert second.next_page_token == ""

    def test_a_reservation_says_where_it_comes_from(self, story: Story) -> None:
        story.given(reserve("a"))

        found = reservation_of(story, "a")

        assert found.position == 2
        assert from_timestamp(found.create_time) == START_TIME_US + 2 * STEP_US
