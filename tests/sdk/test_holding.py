"""A lock that is held survives what passes, and its block neither begins nor ends late."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gapless import LockLostError, errors
from gapless._holds import Hold
from gapless._usage_errors import closed_error
from gapless.v1.locks_pb2 import Lock
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import Answer, Break, FakeService
from tests.sdk.fake_service import Hold as Held

# For what takes a moment; without it a test would wait for as long as a lock lives.
SECONDS_MAX = 30

TTL_SECONDS = 60
SENT_TIME = 1_000.0


@pytest.fixture
def hold() -> Hold:
    return Hold(Lock(lock_id="door", fencing_token=7, ttl_seconds=TTL_SECONDS), SENT_TIME)


@pytest.mark.parametrize(
    "error",
    [
        errors.UnavailableError("no connection"),
        errors.QueueFull("full"),
        errors.DeadlineExceededError("no answer", outcome_unknown=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_renewal_that_fails_in_passing_loses_the_lock_only_when_its_time_is_over(
    hold: Hold, error: errors.GaplessError
) -> None:
    # When a renewal fails while the lock is surely held, then it is tried again soon
    hold.renewal_failed(error, SENT_TIME + TTL_SECONDS - 1)
    assert hold.lost is None
    assert 0 < hold.seconds_before_renewal(SENT_TIME + TTL_SECONDS - 1) < 1

    # When its time is over, then it is lost, though the service may count it as held
    hold.renewal_failed(error, SENT_TIME + TTL_SECONDS)
    assert hold.lost is not None
    assert hold.may_be_held


@pytest.mark.parametrize(
    ("error", "may_be_held"),
    [(errors.LockNotHeld("nobody holds it"), False), (closed_error(), True)],
    ids=["not held", "client closed"],
)
def test_a_renewal_that_can_not_come_to_pass_loses_the_lock_at_once(
    hold: Hold, error: errors.GaplessError, may_be_held: bool
) -> None:
    hold.renewal_failed(error, SENT_TIME)

    assert hold.may_be_held is may_be_held
    with pytest.raises(LockLostError, match=error.message):
        hold.check(SENT_TIME)


async def test_a_held_lock_is_renewed_however_often_its_client_tries(connect: Connect) -> None:
    """As long as it is surely held: the client's attempts are about the calls of its user."""
    broken = [Break(applied=False, code=grpc.StatusCode.UNAVAILABLE)] * 2
    with FakeService([Answer(), *broken]) as service:
        client = connect(service.address, max_attempts=1)

        # Given a lock whose first renewals meet a service that goes down
        async with client.locks.hold("door", ttl=3):
            await asyncio.to_thread(service.wait_for_frames, 4)

        # Then it is held to the end of its block, where it is released
        await asyncio.to_thread(service.wait_for_frames, 5)

    names = [name for frame in service.frames for name in frame.names]
    assert names == ["acquire_lock", *["renew_lock"] * 3, "release_lock"]


async def test_leaving_a_block_takes_no_longer_than_the_clients_timeout(connect: Connect) -> None:
    with FakeService([Answer(), Held()]) as service:
        client = connect(service.address, timeout=0.2)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                # Given a lock that lives much longer, and a service that does not answer any more
                async with client.locks.hold("door", ttl=3600):
                    pass
        finally:
            service.release()

    assert [frame.names for frame in service.frames] == [["acquire_lock"], ["release_lock"]]
