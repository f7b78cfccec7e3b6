"""Confirming, renewing, releasing and cleaning up reservations, given what happened before."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.pool_reservations_pb2 import (
    RELEASE_CAUSE_EXPIRED,
    RELEASE_CAUSE_OWNER_GONE,
    RELEASE_CAUSE_RELEASED,
    GetReservationRequest,
    ReleaseCause,
    ReleasedReservation,
    ReservationConfirmed,
    ReservationRenewed,
    ReservationsReleased,
)
from gapless_server.core.kinds.pools.release import (
    RELEASED_BYTES_MAX,
    RELEASED_NUMBERS_MAX,
    RELEASED_RESERVATIONS_MAX,
)
from gapless_server.core.times import from_timestamp
from tests.core.pool_commands import (
    ANN,
    BOB,
    PORTS,
    check,
    clean_up,
    confirm,
    create,
    held_by,
    let_pass,
    pool_of,
    preview,
    release,
    release_owner,
    renew,
    reservation_of,
    reserve,
    reserve_group,
)
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def story() -> Story:
    return Story().given(create((1, 20)))


def causes(released: list[ReleasedReservation]) -> dict[str, str]:
    """Returns why each reservation ended, by its key."""
    return {
        one.key: ReleaseCause.Name(one.cause).removeprefix("RELEASE_CAUSE_") for one in released
    }


class TestConfirm:
    def test_it_drops_the_time_to_live(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=2))

        answer = story.when(confirm("a"))

        assert story.then_events() == [ReservationConfirmed(pool_id=PORTS, owner_id=ANN, key="a")]
        assert answer.reservation == reservation_of(story, "a")
        assert not answer.reservation.HasField("expire_time")
        let_pass(story, 5)
        assert not reservation_of(story, "a").expired
        assert story.when(clean_up()).released == []

    def test_without_one_it_changes_nothing(self, story: Story) -> None:
        story.given(reserve("a"))

        answer = story.when(confirm("a"))

        assert story.then_events() == []
        assert list(answer.reservation.numbers) == [1]

    def test_it_comes_too_late_for_one_that_is_expired(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1))

        refusal = story.then_refused(confirm("a"), "RESERVATION_EXPIRED")

        assert str(refusal) == (
            "the reservation of owner ann under key a in pool ports expired at"
            " 2023-11-14T22:13:23Z; reserve again"
        )


class TestRenew:
    def test_it_ends_that_long_from_now(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=2))

        answer = story.when(renew("a", 30))

        # This is entry 3.
        assert from_timestamp(answer.reservation.expire_time) == START_TIME_US + 33 * STEP_US
        assert story.then_events() == [
            ReservationRenewed(
                pool_id=PORTS,
                owner_id=ANN,
                key="a",
                expire_time=answer.reservation.expire_time,
            )
        ]
        assert answer.reservation == reservation_of(story, "a")

    def test_it_never_ends_earlier_for_it(self, story: Story) -> None:
        first = story.when(reserve("a", ttl_seconds=60))

        answer = story.when(renew("a", 1))

        assert story.then_events() == []
        assert answer.reservation.expire_time == first.expire_time

    def test_one_that_stays_is_left_to_stay(self, story: Story) -> None:
        story.given(reserve("a"))

        answer = story.when(renew("a", 30))

        assert story.then_events() == []
        assert not answer.reservation.HasField("expire_time")

    def test_it_comes_too_late_for_one_that_is_expired(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1))

        story.then_refused(renew("a", 30), "RESERVATION_EXPIRED")

    def test_renewed_again_and_again_it_is_found_by_its_last_time_only(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=2), renew("a", 3), renew("a", 4))

        assert check(story).ok
        let_pass(story, 3)
        assert causes(story.when(clean_up()).released) == {"a": "EXPIRED"}

    @pytest.mark.parametrize("ttl_seconds", [0, -1, 315_360_001, 2**63 - 1])
    def test_a_bad_time_is_refused(self, story: Story, ttl_seconds: int) -> None:
        story.given(reserve("a"))

        refusal = story.then_refused(renew("a", ttl_seconds), "INVALID_FIELD")

        assert refusal.metadata["field"] == "ttl_seconds"


class TestRelease:
    def test_a_number_is_free_again(self, story: Story) -> None:
        story.given(reserve("a"))

        answer = story.when(release("a"))

        assert story.then_events() == [
            ReservationsReleased(
                pool_id=PORTS,
                reservations=[
                    ReleasedReservation(
                        owner_id=ANN, key="a", numbers=[1], cause=RELEASE_CAUSE_RELEASED
                    )
                ],
            )
        ]
        assert list(answer.numbers) == [1]
        assert pool_of(story).free_count == 20

    def test_again_it_changes_nothing(self, story: Story) -> None:
        story.given(reserve("a"), release("a"))

        answer = story.when(release("a"))

        assert story.then_events() == []
        assert list(answer.numbers) == []

    def test_again_it_is_refused_if_so_asked(self, story: Story) -> None:
        refusal = story.then_refused(release("a", fail_if_unchanged=True), "RESERVATION_NOT_FOUND")

        assert str(refusal) == (
            "owner ann holds nothing under key a in pool ports; reserve it first"
        )

    def test_one_that_is_expired_can_be_released(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=1))

        assert list(story.when(release("a")).numbers) == [1]
        assert check(story).ok

    def test_another_owner_cannot_release_it(self, story: Story) -> None:
        story.given(reserve("a"), release("a", BOB))

        assert held_by(story) == {"a": [1]}

    def test_b11_a_thousand_cycles_leave_the_pool_as_it_was(self, story: Story) -> None:
        before = story.state.digest()

        for _ in range(1000):
            story.given(reserve("a"), release("a"))

        assert story.state.digest() == before


class TestReleaseOwner:
    def test_all_that_the_owner_holds_is_released_in_one_entry(self, story: Story) -> None:
        story.given(reserve("a"), reserve_group("b", 3), reserve("c", BOB))

        answer = story.when(release_owner(ANN))

        assert causes(answer.released) == {"a": "RELEASED", "b": "RELEASED"}
        assert answer.remaining_count == 0
        assert held_by(story) == {"c": [5]}

    def test_an_owner_who_holds_nothing_changes_nothing(self, story: Story) -> None:
        answer = story.when(release_owner(ANN))

        assert story.then_events() == []
        assert answer.released == []

    def test_an_owner_who_holds_nothing_is_refused_if_so_asked(self, story: Story) -> None:
        refusal = story.then_refused(
            release_owner(ANN, fail_if_unchanged=True), "OWNER_HOLDS_NOTHING"
        )

        assert str(refusal) == "owner ann holds nothing in pool ports"

    def test_one_command_releases_so_many_numbers_and_says_how_many_remain(self) -> None:
        story = Story().given(create((0, 2**63 - 1)))
        groups = RELEASED_NUMBERS_MAX // 1000
        story.given(*[reserve_group(f"g{index:02}", 1000) for index in range(groups + 2)])

        first = story.when(release_owner(ANN))
        second = story.when(release_owner(ANN))

        assert (len(first.released), first.remaining_count) == (groups, 2)
        assert (len(second.released), second.remaining_count) == (2, 0)
        assert pool_of(story).held_count == 0

    def test_long_names_are_released_within_the_size_of_an_entry(self) -> None:
        story = Story().given(create((0, 2**63 - 1)))
        long_name = "\N{GRINNING FACE}" * 123
        keys = [f"{long_name}{index:05}" for index in range(1000)]
        story.given(*[reserve_group(key, 5, long_name) for key in keys])

        answer = story.when(release_owner(long_name))

        # Five numbers of 9 bytes, and two names with 4 bytes a character.
        assert len(answer.released) == RELEASED_BYTES_MAX // (5 * 9 + 4 * (2 * 123 + 5))
        assert answer.remaining_count == 1000 - len(answer.released)
        assert story.entries[-1].ByteSize() <= RELEASED_BYTES_MAX

    def test_g7_one_command_releases_so_many_reservations_and_says_how_many_are_left(self) -> None:
        story = Story().given(create((1, 2 * RELEASED_RESERVATIONS_MAX)))
        story.given(*[reserve(f"k{index}") for index in range(RELEASED_RESERVATIONS_MAX + 1)])

        first, second = story.when(release_owner()), story.when(release_owner())

        assert (len(first.released), first.remaining_count) == (RELEASED_RESERVATIONS_MAX, 1)
        assert (len(second.released), second.remaining_count) == (1, 0)


class TestCleanUp:
    def test_b7_exactly_the_dead_ones_go_and_it_says_why(self, story: Story) -> None:
        story.given(
            reserve("dead", ttl_seconds=1),
            reserve("orphan", BOB),
            reserve("stays"),
            reserve("lives", ttl_seconds=60),
        )

        answer = story.when(clean_up(BOB))

        assert story.then_events() == [
            ReservationsReleased(
                pool_id=PORTS,
                reservations=[
                    ReleasedReservation(
                        owner_id=ANN, key="dead", numbers=[1], cause=RELEASE_CAUSE_EXPIRED
                    ),
                    ReleasedReservation(
                        owner_id=BOB, key="orphan", numbers=[2], cause=RELEASE_CAUSE_OWNER_GONE
                    ),
                ],
            )
        ]
        assert causes(answer.released) == {"dead": "EXPIRED", "orphan": "OWNER_GONE"}
        assert held_by(story) == {"stays": [3], "lives": [4]}
        assert check(story).ok
        story.assert_sound()

    def test_a_preview_says_the_same_and_changes_nothing(self, story: Story) -> None:
        story.given(reserve("dead", ttl_seconds=1), reserve("orphan", BOB), reserve("stays"))

        found = story.read(preview(BOB))
        cleaned = story.when(clean_up(BOB))

        assert causes(found.reservations) == causes(cleaned.released)
        assert held_by(story) == {"stays": [3]}

    def test_a_preview_is_given_by_page(self, story: Story) -> None:
        story.given(*[reserve(key, BOB) for key in ("c", "a", "b")])
        request = preview(BOB)
        request.page_size = 2

        first = story.read(request)
        request.page_token = first.next_page_token
        second = story.read(request)

        keys = [one.key for one in [*first.reservations, *second.reservations]]
        assert keys == ["a", "b", "c"]
        assert second.next_page_token == ""

    def test_what_a_gone_owner_reserved_after_a_position_is_spared(self, story: Story) -> None:
        story.given(reserve("before", BOB))
        position = len(story.entries)
        story.given(reserve("after", BOB))

        found = story.read(preview(BOB, position_max=position))
        answer = story.when(clean_up(BOB, position_max=position))

        assert causes(found.reservations) == causes(answer.released) == {"before": "OWNER_GONE"}
        assert held_by(story) == {"after": [2]}

    def test_nothing_dead_changes_nothing(self, story: Story) -> None:
        story.given(reserve("a", ttl_seconds=60))

        answer = story.when(clean_up(BOB, "nobody"))

        assert story.then_events() == []
        assert answer.released == []

    def test_an_owner_named_twice_goes_once(self, story: Story) -> None:
        story.given(reserve("a", BOB))

        assert len(story.when(clean_up(BOB, BOB)).released) == 1

    def test_those_that_expired_first_go_first_within_the_limit(self) -> None:
        story = Story().given(create((0, 2**63 - 1)))
        groups = RELEASED_NUMBERS_MAX // 1000
        # The later a group was reserved, the earlier it expires.
        story.given(
            *[
                reserve_group(f"g{index:02}", 1000, ttl_seconds=40 - 2 * index)
                for index in range(groups + 2)
            ]
        )
        let_pass(story, 40)

        first = story.when(clean_up())
        second = story.when(clean_up())

        assert first.released[0].key == f"g{groups + 1:02}"
        assert (len(first.released), first.remaining_count) == (groups, 2)
        assert causes(second.released) == {"g00": "EXPIRED", "g01": "EXPIRED"}

    @pytest.mark.parametrize(
        ("command", "field"),
        [
            (clean_up("x" * 129), "gone_owner_ids[0]"),
            (clean_up(*["x"] * 1001), "gone_owner_ids"),
            (clean_up(position_max=0), "gone_position_max"),
        ],
    )
    def test_bad_input_is_refused_naming_the_field(
        self, story: Story, command: Message, field: str
    ) -> None:
        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata["field"] == field


class TestMissing:
    @pytest.mark.parametrize("command", [confirm("a"), renew("a", 1)])
    def test_a_missing_reservation_is_refused(self, story: Story, command: Message) -> None:
        story.then_refused(command, "RESERVATION_NOT_FOUND")

    def test_a_missing_reservation_is_not_found(self, story: Story) -> None:
        story.then_read_refused(
            GetReservationRequest(pool_id=PORTS, owner_id=ANN, key="a"), "RESERVATION_NOT_FOUND"
        )

    @pytest.mark.parametrize(
        "command",
        [
            confirm("a"),
            renew("a", 1),
            release("a"),
            release_owner(),
            clean_up(),
            reserve_group("g", 1),
        ],
    )
    def test_a_missing_pool_is_refused(self, command: Message) -> None:
        Story().then_refused(command, "POOL_NOT_FOUND")
