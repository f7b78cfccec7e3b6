"""A lock ends when its time to live is over by a clock that never jumps, and never before (G11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.journal.port import NoRoom, Round
from gapless_server.journal.sqlite_store import LOGS_DIRECTORY, SqliteJournalStore
from gapless_server.writer.clock import LogClock, LogTime, ManualClock, SystemClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces
from tests.writer.harness import (
    KERNEL,
    WrappedJournal,
    create,
    entries,
    memory_journal,
    post,
    reason,
    result,
    run,
    sequence,
    settle,
)
from tests.writer.locks import DOOR, Door, acquire, guarded, renew

HOUR = 3600
TEN_YEARS = 10 * 365 * 24 * HOUR


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = await Door.open()
    yield door
    await door.namespace.close()


async def test_e3_the_end_of_a_lock_is_committed_when_its_time_comes_and_nobody_asks(
    door: Door,
) -> None:
    await door.acquire("ann", ttl_seconds=10)

    door.clock.advance(9.999)
    await settle()
    assert door.namespace.head.position == 1

    door.clock.advance(0.001)
    await settle()
    [_acquired, expired] = await entries(door.namespace)
    assert (expired.position, expired.request_id) == (2, "")
    assert expired.events[0].lock_expired.lock_id == DOOR


async def test_e3_a_read_never_shows_a_lock_whose_time_is_over(door: Door) -> None:
    await door.acquire("ann", ttl_seconds=10)
    assert await door.holder() == "ann"

    door.clock.advance(10)

    # The writer has not run since: the read waits for what is due.
    assert await door.holder() == ""


async def test_e3_a_command_finds_no_lock_whose_time_is_over(door: Door) -> None:
    await run(door.namespace, create())
    token = await door.acquire("ann", ttl_seconds=10)
    assert sequence(await door.run(guarded(post("p1"), token))) == 1

    door.clock.advance(10)

    stale = await door.run(guarded(post("p2"), token))
    assert reason(stale) == "GUARD_FAILED"
    assert reason(await door.run(renew(token))) == "LOCK_NOT_HELD"
    assert await door.acquire("bob") > token
    assert await door.history() == ["acquired ann", "expired ann", "acquired bob"]


async def test_a_renewed_lock_ends_a_ttl_after_its_renewal(door: Door) -> None:
    token = await door.acquire("ann", ttl_seconds=10)
    for _ in range(5):
        door.clock.advance(9)
        await door.run(renew(token))

    door.clock.advance(9)
    assert await door.holder() == "ann"
    door.clock.advance(1)
    assert await door.holder() == ""


@pytest.mark.parametrize("jump_seconds", [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS])
async def test_g11_no_jump_of_the_clock_ends_a_lock_or_takes_commit_times_back(
    door: Door, jump_seconds: int
) -> None:
    await door.acquire("ann", ttl_seconds=10)
    door.clock.jump(jump_seconds)
    door.clock.advance(9.999)

    assert await door.holder() == "ann"

    door.clock.jump(-jump_seconds)
    door.clock.advance(0.001)

    assert await door.holder() == ""
    times = [entry.commit_time.ToMicroseconds() for entry in await entries(door.namespace)]
    assert times == sorted(times)


async def test_g11_a_clock_that_runs_a_hundred_times_too_fast_ends_no_lock(door: Door) -> None:
    await door.acquire("ann", ttl_seconds=10)

    for _ in range(99):
        door.clock.advance(0.1)
        door.clock.jump(9.9)
        assert await door.holder() == "ann"

    door.clock.advance(0.1)
    assert await door.holder() == ""


async def test_g11_a_clock_that_stands_still_keeps_no_lock(door: Door) -> None:
    start_us = door.clock.now_us()
    await door.acquire("ann", ttl_seconds=10)

    door.clock.advance(10)
    door.clock.jump(-10)

    assert door.clock.now_us() == start_us
    assert await door.holder() == ""


@pytest.mark.parametrize("down_seconds", [-TEN_YEARS, -HOUR, 0, HOUR, TEN_YEARS])
async def test_g11_after_a_restart_a_lock_has_what_it_had_left_whatever_the_clock_shows(
    door: Door, down_seconds: int
) -> None:
    token = await door.acquire("ann", ttl_seconds=10)
    door.clock.advance(4)
    await run(door.namespace, create())
    clock = ManualClock(door.clock.now_us() + down_seconds * 1_000_000)

    restarted = await door.restarted(clock)
    clock.advance(5.999)
    assert await restarted.holder() == "ann"
    clock.advance(0.001)
    assert await restarted.holder() == ""

    assert await restarted.acquire("bob") > token
    times = [entry.commit_time.ToMicroseconds() for entry in await entries(restarted.namespace)]
    assert times == sorted(times)
    await restarted.namespace.close()


async def test_the_end_of_a_lock_is_shown_as_the_clock_goes_now(door: Door) -> None:
    """After a jump of the clock the lock ends at another time than it was to end at."""
    await door.acquire("ann", ttl_seconds=10)
    door.clock.advance(4)
    door.clock.jump(HOUR)

    refusal = await door.run(acquire("bob"))

    assert reason(refusal) == "LOCK_HELD"
    assert refusal.metadata["expire_time"] == "2023-11-14T23:13:30Z"  # type: ignore[union-attr]
    assert refusal.retry_after_seconds == 6  # type: ignore[union-attr]


async def test_a_stale_token_does_not_come_back_to_life_with_a_restart(door: Door) -> None:
    """That the lock has ended is durable before anybody is told so (G2)."""
    await run(door.namespace, create())
    token = await door.acquire("ann", ttl_seconds=10)
    door.clock.advance(10)
    assert reason(await door.run(guarded(post("p1"), token))) == "GUARD_FAILED"

    restarted = await door.restarted()

    assert reason(await restarted.run(guarded(post("p2"), token))) == "GUARD_FAILED"
    await restarted.namespace.close()


async def test_g11_the_times_of_a_log_never_go_back() -> None:
    clock = ManualClock(start_us=50_000_000)
    log_clock = LogClock(clock)
    assert log_clock.now() == LogTime(50_000_000, 0)

    log_clock.resume(LogTime(80_000_000, 20_000_000))
    assert log_clock.now() == LogTime(80_000_000, 20_000_000)

    clock.advance(1)
    assert log_clock.now() == LogTime(81_000_000, 21_000_000)

    clock.jump(30.009)
    assert log_clock.now() == LogTime(81_000_000, 21_000_000)
    clock.jump(0.001)
    assert log_clock.now() == LogTime(81_010_000, 21_000_000)

    clock.jump(69.99)
    assert log_clock.now() == LogTime(151_000_000, 21_000_000)

    clock.jump(-1000)
    clock.advance(1)
    assert log_clock.now() == LogTime(152_000_000, 22_000_000)

    log_clock.resume(LogTime(1, 1))
    assert log_clock.now() == LogTime(152_000_000, 22_000_000)


async def test_the_clock_of_the_machine_calls_when_its_time_has_come() -> None:
    clock, called = SystemClock(), []
    time_us = clock.monotonic_us() + 20_000

    clock.call_at(clock.monotonic_us() - 1, lambda: called.append("past"))
    clock.call_at(time_us, lambda: called.append("future"))
    cancelled = clock.call_at(time_us, lambda: called.append("cancelled"))
    cancelled.cancel()
    while clock.monotonic_us() < time_us:
        assert "future" not in called
        await settle()
    while len(called) < 2:
        await settle()

    assert called == ["past", "future"]


async def test_a_manual_clock_calls_as_it_is_advanced() -> None:
    clock, called = ManualClock(), []
    clock.call_at(0, lambda: called.append(0))
    for seconds in (3, 1, 2):
        clock.call_at(seconds * 1_000_000, lambda seconds=seconds: called.append(seconds))  # type: ignore[misc]
    clock.call_at(1_000_000, lambda: called.append(-1)).cancel()

    await settle()
    assert called == [0]
    clock.advance(2.5)
    await settle()
    assert called == [0, 1, 2]
    clock.advance(0.5)
    await settle()
    assert called == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="use jump"):
        clock.advance(-1)


async def test_the_time_in_which_a_namespace_is_closed_for_idleness_counts() -> None:
    """The process serves the log all the same: a lock must not outlive its time for idleness."""
    clock, idle_at_once = ManualClock(), NamespaceLimits(idle_seconds=0)
    namespaces = Namespaces(
        KERNEL, MemoryJournalStore(), clock, WriterLimits(), idle_at_once, lambda *_: None
    )
    async with namespaces.use("test") as namespace:
        await run(namespace, acquire("ann", ttl_seconds=10))
    await namespaces.close_idle()
    assert namespaces.open_count == 0

    clock.advance(10)

    async with namespaces.use("test") as namespace:
        [outcome] = await run(namespace, acquire("bob"))
        assert result(outcome).acquire_lock.lock.holder_id == "bob"
    await namespaces.close()


class FullJournal(WrappedJournal):
    """A journal on a disk that is full for as long as the test says."""

    is_full = False

    def has_room(self) -> bool:
        return not self.is_full

    async def append(self, record: Round) -> None:
        if self.is_full:
            raise NoRoom("the disk is full")
        await super().append(record)


async def test_g7_a_lock_whose_end_finds_no_room_ends_once_there_is_some() -> None:
    journal = FullJournal(await memory_journal())
    door = await Door.open(journal)
    token = await door.acquire("ann", ttl_seconds=10)
    waiting = door.ask(acquire("bob", wait_seconds=60))
    await settle()
    journal.is_full = True

    door.clock.advance(10)

    [outcome] = await waiting
    assert reason(outcome) == "DISK_FULL"
    assert await door.holder() == "ann"
    # It is tried again by itself, a second later.
    journal.is_full = False
    door.clock.advance(1)
    await settle()
    assert await door.history() == ["acquired ann", "expired ann"]
    assert await door.acquire("bob") > token
    await door.namespace.close()


async def test_g10_a_start_from_a_checkpoint_ends_locks_when_a_replay_would(tmp_path: Path) -> None:
    """The alarms of locks whose entries are not read again are set from their rows."""
    clock = ManualClock()

    async def started() -> tuple[Door, SqliteJournalStore]:
        store = SqliteJournalStore(tmp_path, "nowhere")
        journal = await store.open("test")
        checkpoint = await SqliteCheckpointStore(tmp_path / LOGS_DIRECTORY).open(
            "test", journal.incarnation
        )
        namespace = await Namespace.open(
            "test",
            KERNEL,
            journal,
            LogClock(clock),
            WriterLimits(checkpoint_entries=1),
            lambda *_: None,
            None,
            checkpoint,
        )
        return Door(namespace, journal, clock), store

    door, store = await started()
    await door.acquire("ann", ttl_seconds=10)
    clock.advance(4)
    await run(door.namespace, create())
    await door.namespace.close()
    await store.close()

    door, store = await started()
    clock.advance(5.999)
    assert await door.holder() == "ann"
    clock.advance(0.001)
    assert await door.holder() == ""
    await door.namespace.close()
    await store.close()
