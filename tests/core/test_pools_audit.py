"""The audit of pools finds what a log of faults holds, and nothing in one without."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.pool_reservations_pb2 import (
    RELEASE_CAUSE_EXPIRED,
    RELEASE_CAUSE_RELEASED,
    NumbersReserved,
    ReleaseCause,
    ReleasedReservation,
    ReservationConfirmed,
    ReservationRenewed,
    ReservationsReleased,
)
from gapless.v1.pools_pb2 import PoolCreated, PoolUpdated
from gapless_server.core.times import to_timestamp
from tests.core.pool_commands import (
    ANN,
    BOB,
    PORTS,
    Span,
    clean_up,
    confirm,
    create,
    let_pass,
    release,
    release_owner,
    renew,
    reserve,
    reserve_group,
    update_ranges,
)
from tests.core.story import Story, forged


def created(*, gap_free: bool = False) -> PoolCreated:
    pool = create((1, 5), (8, 9), exclusions=[(3, 3)])
    return PoolCreated(
        pool_id=PORTS, ranges=pool.ranges, exclusions=pool.exclusions, gap_free=gap_free
    )


def updated(*spans: Span) -> PoolUpdated:
    return PoolUpdated(pool_id=PORTS, ranges=create(*spans).ranges)


def reserved(
    key: str, *numbers: int, owner_id: str = ANN, expire_time_us: int = 0
) -> NumbersReserved:
    return NumbersReserved(
        pool_id=PORTS,
        owner_id=owner_id,
        key=key,
        numbers=numbers,
        expire_time=to_timestamp(expire_time_us) if expire_time_us else None,
    )


def released(
    key: str, *numbers: int, cause: ReleaseCause.ValueType = RELEASE_CAUSE_RELEASED
) -> ReservationsReleased:
    ended = ReleasedReservation(owner_id=ANN, key=key, numbers=numbers, cause=cause)
    return ReservationsReleased(pool_id=PORTS, reservations=[ended])


@pytest.mark.parametrize(
    ("events", "breach"),
    [
        ([reserved("a", 1)], "pool ports was never created"),
        ([created(), created()], "pool ports is created again"),
        (
            [created(), reserved("a", 1), reserved("a", 2)],
            "pool ports: owner ann, key a reserves while holding a reservation",
        ),
        (
            [created(), reserved("a", 1), reserved("b", 1, owner_id=BOB)],
            "pool ports: owner bob, key b is given 1, held by ann, key a",
        ),
        (
            [created(), reserved("a", 6)],
            "pool ports: owner ann, key a is given 6, which is not in the range in force",
        ),
        (
            [created(), reserved("a", 3)],
            "pool ports: owner ann, key a is given 3, which is not in the range in force",
        ),
        (
            [created(), updated((8, 9)), reserved("a", 1)],
            "pool ports: owner ann, key a is given 1, which is not in the range in force",
        ),
        (
            [created(gap_free=True), reserved("a", 2)],
            "pool ports: owner ann, key a is given 2, the next was 1",
        ),
        (
            [created(gap_free=True), reserved("a", 1, 2), reserved("b", 5)],
            "pool ports: owner ann, key b is given 5, the next was 4",
        ),
        (
            [created(gap_free=True), reserved("a", 1), released("a", 1), reserved("b", 1)],
            "pool ports: owner ann, key b is given 1, the next was 2",
        ),
        (
            [created(), released("a", 1)],
            "pool ports: the reservation of owner ann, key a ends and is not there",
        ),
        (
            [created(), reserved("a", 1, 2), released("a", 1)],
            "pool ports: the reservation of owner ann, key a ends with other numbers than it was"
            " given",
        ),
        (
            [
                created(),
                reserved("a", 1, expire_time_us=10),
                released("a", 1, cause=RELEASE_CAUSE_EXPIRED),
            ],
            "pool ports: the reservation of owner ann, key a ends as expired before its time was"
            " over",
        ),
        (
            [created(), ReservationConfirmed(pool_id=PORTS, owner_id=ANN, key="a")],
            "pool ports: the reservation of owner ann, key a is kept and is not there",
        ),
    ],
)
def test_a_fault_is_found_and_said_where(events: list[Message], breach: str) -> None:
    assert forged(*events) == [f"position {len(events)}: {breach}"]


def test_a_reservation_that_is_kept_too_late_is_found() -> None:
    story = Story().given(create((1, 5)), reserve("a", ttl_seconds=1))
    let_pass(story, 1)
    late = ReservationRenewed(
        pool_id=PORTS, owner_id=ANN, key="a", expire_time=to_timestamp(story.moment.time_us)
    )
    story.entries[-1].events.add().reservation_renewed.CopyFrom(late)

    assert story.breaches() == [
        "position 3: pool ports: the reservation of owner ann, key a is kept after it had expired"
    ]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    story = Story().given(create((1, 9), exclusions=[(4, 4)], preferred=[9]))
    story.given(
        reserve("a"),
        reserve_group("g", 3, BOB, contiguous=True, ttl_seconds=2),
        renew("g", 3, BOB),
        reserve("b", ttl_seconds=60),
        confirm("b"),
        update_ranges((1, 4), (8, 20)),
        release("a"),
        reserve_group("h", 2),
    )
    let_pass(story, 3)

    story.given(clean_up(BOB), release_owner(ANN), reserve("z"))

    assert story.breaches() == []
    story.assert_sound()
