"""A reservation expires by a clock that never jumps, and never before its time is over (G11)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gapless.v1.commands_pb2 import Command
from gapless.v1.pool_reservations_pb2 import RenewReservationRequest, ReserveNumberRequest
from gapless.v1.pools_pb2 import CreatePoolRequest, NumberRange
from tests.writer.harness import create, reason, result, run
from tests.writer.locks import Door

HOUR = 3600
TEN_YEARS = 10 * 365 * 24 * HOUR


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = await Door.open()
    yield door
    await door.namespace.close()


def reserve(ttl_seconds: int) -> Command:
    request = ReserveNumberRequest(
        request_id="reserve", pool_id="ports", owner_id="ann", key="http", ttl_seconds=ttl_seconds
    )
    return Command(reserve_number=request)


def renew_reservation(request_id: str) -> Command:
    request = RenewReservationRequest(
        request_id=request_id, pool_id="ports", owner_id="ann", key="http", ttl_seconds=1
    )
    return Command(renew_reservation=request)


async def give_reservation(door: Door, ttl_seconds: int) -> None:
    created = CreatePoolRequest(
        request_id="create", pool_id="ports", ranges=[NumberRange(first=1, last=9)]
    )
    await door.run(Command(create_pool=created))
    await door.run(reserve(ttl_seconds))


async def test_g11_no_jump_of_the_clock_ends_a_reservation_either(door: Door) -> None:
    await give_reservation(door, ttl_seconds=10)

    for number, seconds in enumerate((HOUR, -HOUR, TEN_YEARS)):
        door.clock.jump(seconds)
        door.clock.advance(3)
        outcome = result(await door.run(renew_reservation(f"renew-{number}")))
        assert not outcome.renew_reservation.receipt.changed

    door.clock.advance(1)
    assert reason(await door.run(renew_reservation("late"))) == "RESERVATION_EXPIRED"


async def test_g11_after_a_restart_the_time_of_a_reservation_goes_on_from_the_newest_entry(
    door: Door,
) -> None:
    """Nothing was committed since it expired, so nothing in the log says that it has."""
    await give_reservation(door, ttl_seconds=10)
    door.clock.advance(10)
    assert reason(await door.run(renew_reservation("over"))) == "RESERVATION_EXPIRED"

    restarted = await door.restarted()
    restarted.clock.advance(9)

    assert result(await restarted.run(renew_reservation("alive"))).HasField("renew_reservation")
    await restarted.namespace.close()


async def test_g11_a_reservation_that_expired_before_an_entry_is_expired_after_a_restart_too(
    door: Door,
) -> None:
    await give_reservation(door, ttl_seconds=10)
    door.clock.advance(10)
    await run(door.namespace, create("other"))

    restarted = await door.restarted()

    assert reason(await restarted.run(renew_reservation("over"))) == "RESERVATION_EXPIRED"
    await restarted.namespace.close()
