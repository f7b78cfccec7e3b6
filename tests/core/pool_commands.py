"""Short ways to say the commands and reads of pools, for the tests of that kind."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from gapless.v1.pool_reservations_pb2 import (
    ConfirmReservationRequest,
    GetNumberRequest,
    GetReservationRequest,
    ListReservationsRequest,
    NumberStatus,
    ReleaseOwnerRequest,
    ReleaseReservationRequest,
    RenewReservationRequest,
    Reservation,
    ReserveGroupRequest,
    ReserveNumberRequest,
)
from gapless.v1.pools_pb2 import (
    CheckPoolRequest,
    CheckPoolResponse,
    CleanUpPoolRequest,
    CreatePoolRequest,
    GetPoolRequest,
    NumberRange,
    Pool,
    PreviewCleanUpRequest,
    UpdatePoolRequest,
)
from tests.core.story import Story

PORTS = "ports"
ANN = "ann"
BOB = "bob"

# First and last number, both included.
Span = tuple[int, int]


def ranges(*spans: Span) -> list[NumberRange]:
    return [NumberRange(first=first, last=last) for first, last in spans]


def create(
    *spans: Span,
    exclusions: Sequence[Span] = (),
    preferred: Sequence[int] = (),
    gap_free: bool = False,
    pool_id: str = PORTS,
) -> CreatePoolRequest:
    return CreatePoolRequest(
        pool_id=pool_id,
        ranges=ranges(*spans),
        exclusions=ranges(*exclusions),
        preferred_numbers=preferred,
        gap_free=gap_free,
    )


def update(
    *paths: str,
    spans: Sequence[Span] = (),
    exclusions: Sequence[Span] = (),
    preferred: Sequence[int] = (),
) -> UpdatePoolRequest:
    return UpdatePoolRequest(
        pool_id=PORTS,
        ranges=ranges(*spans),
        exclusions=ranges(*exclusions),
        preferred_numbers=preferred,
        update_mask=FieldMask(paths=paths),
    )


def update_ranges(*spans: Span) -> UpdatePoolRequest:
    return update("ranges", spans=spans)


def reserve(
    key: str,
    owner_id: str = ANN,
    *,
    preferred: int | None = None,
    only_preferred: bool = False,
    ttl_seconds: int | None = None,
) -> ReserveNumberRequest:
    return ReserveNumberRequest(
        pool_id=PORTS,
        owner_id=owner_id,
        key=key,
        preferred_number=preferred,
        only_preferred=only_preferred,
        ttl_seconds=ttl_seconds,
    )


def reserve_group(
    key: str,
    count: int = 0,
    owner_id: str = ANN,
    *,
    contiguous: bool = False,
    offsets: Sequence[int] = (),
    base: int | None = None,
    ttl_seconds: int | None = None,
) -> ReserveGroupRequest:
    return ReserveGroupRequest(
        pool_id=PORTS,
        owner_id=owner_id,
        key=key,
        count=count,
        contiguous=contiguous,
        offsets=offsets,
        base=base,
        ttl_seconds=ttl_seconds,
    )


def confirm(key: str, owner_id: str = ANN) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(pool_id=PORTS, owner_id=owner_id, key=key)


def renew(key: str, ttl_seconds: int, owner_id: str = ANN) -> RenewReservationRequest:
    return RenewReservationRequest(
        pool_id=PORTS, owner_id=owner_id, key=key, ttl_seconds=ttl_seconds
    )


def release(
    key: str, owner_id: str = ANN, *, fail_if_unchanged: bool = False
) -> ReleaseReservationRequest:
    return ReleaseReservationRequest(
        pool_id=PORTS, owner_id=owner_id, key=key, fail_if_unchanged=fail_if_unchanged
    )


def release_owner(owner_id: str = ANN, *, fail_if_unchanged: bool = False) -> ReleaseOwnerRequest:
    return ReleaseOwnerRequest(
        pool_id=PORTS, owner_id=owner_id, fail_if_unchanged=fail_if_unchanged
    )


def clean_up(*gone: str, position_max: int | None = None) -> CleanUpPoolRequest:
    return CleanUpPoolRequest(pool_id=PORTS, gone_owner_ids=gone, gone_position_max=position_max)


def preview(*gone: str, position_max: int | None = None) -> PreviewCleanUpRequest:
    return PreviewCleanUpRequest(pool_id=PORTS, gone_owner_ids=gone, gone_position_max=position_max)


def let_pass(story: Story, seconds: int) -> None:
    """Lets time pass: each entry of a story is a second after the one before."""
    pool = pool_of(story)
    same = update_ranges(*((one.first, one.last) for one in pool.ranges))
    story.given(*[same] * seconds)


def pool_of(story: Story) -> Pool:
    pool: Pool = story.read(GetPoolRequest(pool_id=PORTS)).pool
    return pool


def check(story: Story) -> CheckPoolResponse:
    answer: CheckPoolResponse = story.read(CheckPoolRequest(pool_id=PORTS))
    return answer


def reservation_of(story: Story, key: str, owner_id: str = ANN) -> Reservation:
    request = GetReservationRequest(pool_id=PORTS, owner_id=owner_id, key=key)
    reservation: Reservation = story.read(request).reservation
    return reservation


def reservations_of(story: Story) -> list[Reservation]:
    """Returns every reservation, in the order of owner and key."""
    return list(story.read(ListReservationsRequest(pool_id=PORTS)).reservations)


def held_by(story: Story) -> dict[str, list[int]]:
    """Returns the numbers by key; owners in these stories have different keys."""
    return {one.key: list(one.numbers) for one in reservations_of(story)}


def status_of(story: Story, number: int) -> str:
    answer = story.read(GetNumberRequest(pool_id=PORTS, number=number))
    return NumberStatus.Name(answer.status).removeprefix("NUMBER_STATUS_")
