"""Locks against the real service, once in each colour."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from gapless import AsyncClient, Entry, LockLostError, errors
from gapless.testing import InProcessServer
from gapless_server.writer.clock import ManualClock
from tests.sdk.conftest import Connect


@pytest.fixture
def client(connect: Connect, gapless_server: InProcessServer) -> AsyncClient:
    """A client in a namespace of its own."""
    return connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")


LOCK_EVENTS = ["lock_acquired", "lock_renewed", "lock_released", "lock_expired"]


def clock_of(server: InProcessServer) -> ManualClock:
    """The clock of the service, which stands still unless a test advances it."""
    assert isinstance(server.clock, ManualClock)
    return server.clock


async def test_a_lock_is_acquired_renewed_and_released(client: AsyncClient) -> None:
    acquired = await client.locks.acquire("door", "ann", ttl=60)
    token = acquired.lock.fencing_token
    with pytest.raises(errors.LockHeld) as caught:
        await client.locks.acquire("door", "bob")
    assert caught.value.metadata["holder_id"] == "ann"
    assert caught.value.retry_delay_seconds == 60
    renewed = await client.locks.renew("door", token, ttl=90)
    assert (renewed.lock.ttl_seconds, renewed.receipt.changed) == (90, True)
    assert await client.locks.get("door") == renewed.lock

    released = await client.locks.release("door", token)
    again = await client.locks.release("door", token)

    assert (released.receipt.changed, again.receipt.changed) == (True, False)
    assert await client.locks.get("door") is None
    with pytest.raises(errors.LockNotHeld):
        await client.locks.release("door", token, fail_if_unchanged=True)
    with pytest.raises(errors.LockNotHeld):
        await client.locks.renew("door", token)
    assert (await client.locks.acquire("door", "bob")).lock.fencing_token > token


async def test_locks_are_listed_by_holder_and_by_prefix(client: AsyncClient) -> None:
    for lock_id, holder_id in (("job/1", "ann"), ("job/2", "bob"), ("door", "ann")):
        await client.locks.acquire(lock_id, holder_id)

    async def listed(**wanted: str) -> list[str]:
        return [lock.lock_id async for lock in client.locks.list(page_size=1, **wanted)]  # type: ignore[arg-type]

    assert await listed() == ["door", "job/1", "job/2"]
    assert await listed(holder_id="ann") == ["door", "job/1"]
    assert await listed(lock_id_prefix="job/") == ["job/1", "job/2"]


async def test_who_waits_for_a_lock_gets_it_when_it_is_released(client: AsyncClient) -> None:
    token = (await client.locks.acquire("door", "ann")).lock.fencing_token
    waiting = asyncio.ensure_future(client.locks.acquire("door", "bob", wait=60))

    await client.locks.release("door", token)

    lock = (await waiting).lock
    assert lock.holder_id == "bob"
    assert lock.fencing_token > token


async def test_who_waited_in_vain_is_told_who_holds_it(client: AsyncClient) -> None:
    await client.locks.acquire("door", "ann")

    # The service's clock stands still, so the client's time is over first.
    with pytest.raises(errors.DeadlineExceededError) as caught:
        await client.locks.acquire("door", "bob", wait=60, timeout=0.2, request_id="r")

    assert (caught.value.request_id, caught.value.outcome_unknown) == ("r", True)


async def test_a_lock_is_held_for_a_block_and_is_a_guard(client: AsyncClient) -> None:
    await client.channels.create("general")

    async with client.locks.hold("door", holder_id="ann", ttl=60) as lock:
        held = await client.locks.get("door")
        assert held is not None
        assert (held.holder_id, held.fencing_token) == ("ann", lock.fencing_token)
        guarded = client.with_guards(lock)
        assert (await guarded.messages.post("general", "ann", "hello")).sequence == 1
        async with client.batch(guards=[lock]) as batch:
            await batch.messages.post("general", "ann", "hello")

    assert await client.locks.get("door") is None
    with pytest.raises(errors.GuardFailed):
        await guarded.messages.post("general", "ann", "hello")


async def test_a_held_lock_is_renewed_for_as_long_as_its_block_runs(
    client: AsyncClient, gapless_server: InProcessServer
) -> None:
    """Longer than its time to live, by the service's clock."""
    async with client.locks.hold("door", ttl=3) as lock:
        async for item in client.events.watch(from_start=True, event_types=LOCK_EVENTS):
            if isinstance(item, Entry):
                seen = [str(event.WhichOneof("event")) for event in item.events]
                assert seen in (["lock_acquired"], ["lock_renewed"])
                if item.position == 3:
                    break
                clock_of(gapless_server).advance(2)
        assert lock.guard.lock.fencing_token == lock.fencing_token


async def test_a_lost_lock_ends_the_block_that_waits(gapless_server: InProcessServer) -> None:
    """On asyncio only: a thread can not be broken off from outside."""

    async def work(client: AsyncClient) -> None:
        async with client.locks.hold("door", ttl=1):
            clock_of(gapless_server).advance(1)
            await asyncio.Event().wait()

    namespace = f"sdk-{uuid.uuid4().hex}"
    async with AsyncClient(gapless_server.address, namespace=namespace) as client:
        with pytest.raises(LockLostError) as caught:
            await work(client)

    assert "nobody holds it" in str(caught.value)
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def test_the_cancellation_of_a_stranger_goes_on_though_the_lock_is_lost(
    gapless_server: InProcessServer,
) -> None:
    """On asyncio only, as above."""
    entered = asyncio.Event()

    async def work(client: AsyncClient) -> None:
        async with client.locks.hold("door", ttl=1):
            entered.set()
            await asyncio.Event().wait()

    namespace = f"sdk-{uuid.uuid4().hex}"
    async with AsyncClient(gapless_server.address, namespace=namespace) as client:
        # Given a block that waits while its lock runs out, and nothing on the loop that notices
        working = asyncio.create_task(work(client))
        await entered.wait()
        time.sleep(1)  # noqa: ASYNC251  (a loop that is held up for the whole time to live)

        # When somebody else cancels it
        working.cancel()

        # Then it is cancelled
        with pytest.raises(asyncio.CancelledError):
            await working
        assert working.cancelled()


async def test_a_lost_lock_is_no_guard_and_is_raised_at_the_end_of_its_block(
    client: AsyncClient, gapless_server: InProcessServer
) -> None:
    lost: list[str] = []

    async def work() -> None:
        async with client.locks.hold("door", ttl=3) as lock:
            clock_of(gapless_server).advance(3)
            taken = await client.locks.acquire("door", "bob", ttl=60)
            assert taken.lock.fencing_token > lock.fencing_token
            try:
                # Until the next renewal has found it out.
                while lock.guard.lock.fencing_token:
                    await client.operations.server_info()
            except (LockLostError, asyncio.CancelledError) as error:
                lost.append(type(error).__name__)
                raise

    with pytest.raises(LockLostError, match="bob holds it"):
        await work()

    assert len(lost) == 1
    held = await client.locks.get("door")
    assert held is not None
    assert held.holder_id == "bob"


async def test_what_a_block_raises_goes_on_and_the_lock_is_released(client: AsyncClient) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.locks.hold("door", ttl=60):
            raise ZeroDivisionError

    assert await client.locks.get("door") is None


async def test_a_held_lock_is_refused_on_entering(client: AsyncClient) -> None:
    async with client.locks.hold("door", holder_id="ann", ttl=60):
        with pytest.raises(errors.LockHeld):
            async with client.locks.hold("door", holder_id="bob"):
                raise AssertionError("the block must not run")


async def test_a_lock_that_is_waited_for_is_held_from_then_on(client: AsyncClient) -> None:
    token = (await client.locks.acquire("door", "ann")).lock.fencing_token

    async def hold() -> int:
        async with client.locks.hold("door", ttl=60, wait=60) as lock:
            return lock.fencing_token

    waiting = asyncio.ensure_future(hold())
    await client.locks.release("door", token)

    assert await waiting > token
    assert await client.locks.get("door") is None


async def test_a_lock_outside_of_its_block_is_a_mistake_that_is_said(client: AsyncClient) -> None:
    held = client.locks.hold("door")

    with pytest.raises(RuntimeError, match="not held yet"):
        _ = held.guard


async def test_a_lock_that_is_held_again_by_the_same_object_is_renewed_again(
    client: AsyncClient, gapless_server: InProcessServer
) -> None:
    held = client.locks.hold("door", ttl=3)
    async with held:
        pass

    async with held, asyncio.timeout(10):
        # A renewal at the same time would change nothing.
        clock_of(gapless_server).advance(1)
        async for item in client.events.watch(from_start=True, event_types=LOCK_EVENTS):
            if isinstance(item, Entry) and item.events[0].HasField("lock_renewed"):
                break


async def test_a_lock_whose_entering_is_broken_off_is_given_back(
    gapless_server: InProcessServer,
) -> None:
    async with AsyncClient(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}") as client:
        # Given one whose command is on its way when it is broken off
        entering = asyncio.create_task(client.locks.hold("door").__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

        # Then it is acquired and released all the same
        seen: list[str | None] = []
        async with asyncio.timeout(10):
            async for item in client.events.watch(from_start=True, event_types=LOCK_EVENTS):
                if isinstance(item, Entry):
                    seen += [event.WhichOneof("event") for event in item.events]
                if len(seen) == 2:
                    break
    assert seen == ["lock_acquired", "lock_released"]
