"""A lock that is held survives what passes, its block ends soon, and nobody holds it after that."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import NoReturn

import grpc
import pytest

from gapless import AsyncClient, Client, LockLostError, errors
from gapless._async._hold_calls import HoldCalls
from gapless._holds import Hold
from gapless._usage_errors import closed_error
from gapless.v1.commands_pb2 import CommandError
from gapless.v1.events_pb2 import GetRequestResponse
from gapless.v1.locks_pb2 import Lock, ReleaseLockResponse
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import Answer, Break, FakeService, Refuse
from tests.sdk.fake_service import Hold as Held

# For what takes a moment; without it a test would wait for as long as a lock lives.
SECONDS_MAX = 30

LOCK_HELD = CommandError(code=9, reason="LOCK_HELD", message="ann holds it")

TTL_SECONDS = 60
SENT_TIME = 1_000.0


def names(service: FakeService) -> list[str]:
    """The commands that arrived."""
    return [name for frame in service.frames for name in frame.names]


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

    assert names(service) == ["acquire_lock", *["renew_lock"] * 3, "release_lock"]


async def test_leaving_a_block_takes_no_longer_than_the_clients_timeout(connect: Connect) -> None:
    with FakeService([Answer(), Held()]) as service:
        client = connect(service.address, timeout=0.2)
        try:
            # Given a lock that lives much longer, and a service that does not answer any more,
            # when its block ends, then that does not wait for the service
            async with asyncio.timeout(SECONDS_MAX), client.locks.hold("door", ttl=3600):
                pass
        finally:
            service.release()

        # And it is released once the service is there again
        await asyncio.to_thread(service.wait_for_frames, 3)

    assert names(service) == ["acquire_lock", "release_lock", "release_lock"]


async def test_a_lock_that_was_lost_to_silence_is_released_when_the_service_is_back(
    connect: Connect,
) -> None:
    async def work(client: AsyncClient) -> None:
        async with client.locks.hold("door", ttl=1):
            # Longer than the lock lives without a renewal, which only passing time ends.
            await asyncio.sleep(1.1)

    with FakeService([Answer(), Held()]) as service:
        client = connect(service.address)

        # Given a lock that is not renewed in time, since the service does not answer
        with pytest.raises(LockLostError):
            await work(client)

        # When the service goes on, then the lock, which it counts as held, is released
        service.release()
        await asyncio.to_thread(service.wait_for_frames, 3)

    assert names(service) == ["acquire_lock", "renew_lock", "release_lock"]


async def test_what_was_acquired_though_entering_failed_is_given_back(connect: Connect) -> None:
    with FakeService([Held()]) as service:
        client = connect(service.address, timeout=0.2)

        # Given a block that is not entered, since the answer does not come in time
        with pytest.raises(errors.DeadlineExceededError) as raised:
            async with client.locks.hold("door", ttl=3600):
                raise AssertionError("the block must not run")
        assert raised.value.outcome_unknown

        # When the service goes on, which has acquired the lock, then it is released
        service.release()
        await asyncio.to_thread(service.wait_for_frames, 2)

    assert names(service) == ["acquire_lock", "release_lock"]
    assert service.request_ids_asked_for == service.frames[0].request_ids


async def test_nothing_is_given_back_where_the_lock_was_refused(connect: Connect) -> None:
    with FakeService([Refuse(LOCK_HELD)]) as service:
        client = connect(service.address)

        with pytest.raises(errors.LockHeld):
            await client.locks.hold("door").__aenter__()
        await client.close()

    assert names(service) == ["acquire_lock"]
    assert service.request_ids_asked_for == []


async def test_closing_a_client_waits_until_a_lock_is_given_back() -> None:
    with FakeService([Held()]) as service:
        client = AsyncClient(service.address)

        # Given an entering that is broken off while its command is under way
        entering = asyncio.create_task(client.locks.hold("door", ttl=3600).__aenter__())
        await asyncio.to_thread(service.wait_for_frames, 1)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

        # When the client is closed at once, and the answer comes after that
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        service.release()
        await closing

    # Then the lock was released before
    assert names(service) == ["acquire_lock", "release_lock"]


class Interrupted(BaseException):
    """What Ctrl-C raises in a thread, wherever it is."""


def test_a_blocking_client_gives_back_what_it_was_interrupted_in() -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    def interrupt_when_it_is_under_way() -> None:
        service.wait_for_frames(1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with FakeService([Held()]) as service, Client(service.address) as client:
            # Given a thread that is interrupted while its command is under way
            interrupting = threading.Thread(target=interrupt_when_it_is_under_way)
            interrupting.start()
            with pytest.raises(Interrupted), client.locks.hold("door", ttl=3600):
                raise AssertionError("the block must not run")
            interrupting.join()

            # When its answer comes, then the lock is released
            service.release()
            service.wait_for_frames(2)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert names(service) == ["acquire_lock", "release_lock"]


async def test_a_command_that_comes_after_the_question_is_given_back_too() -> None:
    """As when the service was paused, and takes up what waits for it in any order."""
    found = GetRequestResponse(found=True)
    found.result.acquire_lock.lock.fencing_token = 7
    answers = [GetRequestResponse(), GetRequestResponse(), found]
    released: list[int] = []

    async def get_request(_: str, __: float) -> GetRequestResponse:
        return answers.pop(0)

    async def release(token: int, _: float) -> ReleaseLockResponse:
        released.append(token)
        return ReleaseLockResponse()

    async def never(*_: object) -> NoReturn:
        raise AssertionError("not needed to give a lock back")

    calls = HoldCalls(never, never, release, get_request, TTL_SECONDS, timeout_seconds=1)
    await calls.give_back("r")

    assert released == [7]
