"""Who waits for a lock is served in the order of arrival, and whoever leaves holds nobody up."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.lines import Waiter
from tests.writer.harness import (
    FailingJournal,
    HeldJournal,
    create,
    memory_journal,
    post,
    reason,
    receipt,
    result,
    run,
    settle,
)
from tests.writer.locks import Door, acquire, guarded, refused, release, token_of


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = await Door.open(limits=WriterLimits(line_commands_max=5))
    yield door
    await door.namespace.close()


async def test_a_lock_goes_to_those_who_wait_in_the_order_in_which_they_came(door: Door) -> None:
    token = await door.acquire("ann")
    waiting = [door.ask(acquire(name, wait_seconds=60)) for name in ("bob", "cid", "dan")]
    await settle()
    assert not any(outcomes.done() for outcomes in waiting)

    for outcomes in waiting:
        await door.run(release(token))
        [outcome] = await outcomes
        assert token_of(outcome) > token
        token = token_of(outcome)

    assert await door.history() == [
        "acquired ann",
        "released ann",
        "acquired bob",
        "released bob",
        "acquired cid",
        "released cid",
        "acquired dan",
    ]


async def test_a_lock_that_ends_by_itself_goes_to_the_first_in_line(door: Door) -> None:
    await door.acquire("ann", ttl_seconds=10)
    waiting = door.ask(acquire("bob", wait_seconds=60))
    await settle()

    door.clock.advance(10)
    [outcome] = await waiting

    assert result(outcome).acquire_lock.lock.holder_id == "bob"
    assert await door.history() == ["acquired ann", "expired ann", "acquired bob"]


async def test_nobody_comes_between_a_release_and_the_first_in_line(door: Door) -> None:
    """Not even from the very frame of the release."""
    token = await door.acquire("ann")
    waiting = door.ask(acquire("bob", wait_seconds=60))
    await settle()

    _released, pushed = await run(door.namespace, release(token), acquire("pushy"))

    assert refused(pushed).metadata["holder_id"] == "bob"
    assert result((await waiting)[0]).acquire_lock.lock.holder_id == "bob"


async def test_who_has_waited_enough_is_refused_and_the_line_goes_on(door: Door) -> None:
    token = await door.acquire("ann", ttl_seconds=100)
    short = door.ask(acquire("bob", wait_seconds=3))
    long = door.ask(acquire("cid", wait_seconds=30))
    await settle()

    door.clock.advance(3)
    [outcome] = await short
    assert reason(outcome) == "LOCK_HELD"
    assert refused(outcome).metadata["holder_id"] == "ann"
    assert refused(outcome).retry_after_seconds == 97
    assert not long.done()

    await door.run(release(token))
    assert result((await long)[0]).acquire_lock.lock.holder_id == "cid"


async def test_a_lock_that_is_free_at_the_last_moment_is_given(door: Door) -> None:
    await door.acquire("ann", ttl_seconds=10)
    waiting = door.ask(acquire("bob", wait_seconds=10))
    await settle()

    door.clock.advance(10)

    assert result((await waiting)[0]).acquire_lock.lock.holder_id == "bob"


async def test_a_caller_who_is_gone_waits_no_longer(door: Door) -> None:
    token = await door.acquire("ann")
    gone = door.ask(acquire("bob", wait_seconds=60))
    waiting = door.ask(acquire("cid", wait_seconds=60))
    await settle()

    gone.cancel()
    await door.run(release(token))

    assert result((await waiting)[0]).acquire_lock.lock.holder_id == "cid"
    assert await door.history() == ["acquired ann", "released ann", "acquired cid"]


async def test_a_lock_for_which_only_those_wait_who_are_gone_is_free(door: Door) -> None:
    token = await door.acquire("ann")
    gone = [door.ask(acquire(name, wait_seconds=60)) for name in ("bob", "cid")]
    await settle()

    for outcomes in gone:
        outcomes.cancel()
    await door.run(release(token))

    assert await door.holder() == ""
    await door.acquire("dan")


async def test_g7_those_who_left_are_not_kept_for_as_long_as_they_would_have_waited() -> None:
    """However many give up behind somebody who goes on waiting."""
    door = await Door.open(limits=WriterLimits())
    await door.acquire("ann", ttl_seconds=3600)
    patient = door.ask(acquire("bob", wait_seconds=600))
    for _ in range(5):
        leaving = [door.ask(acquire("eve", wait_seconds=3600)) for _ in range(1000)]
        await settle()
        for outcomes in leaving:
            outcomes.cancel()
        await settle()

    gc.collect()
    kept = [waiter for waiter in gc.get_objects() if isinstance(waiter, Waiter)]

    assert len(kept) <= 2 + 1000  # who waits, as many again, and what is not worth looking for
    assert not patient.done()
    await door.namespace.close()


async def test_a15_the_same_command_again_shares_its_place_and_its_answer(door: Door) -> None:
    """As from a client whose connection broke while it waited, and another that came between."""
    token = await door.acquire("ann")
    first = door.ask(acquire("bob", wait_seconds=60, request_id="r"))
    between = door.ask(acquire("cid", wait_seconds=60))
    again = door.ask(acquire("bob", wait_seconds=60, request_id="r"))
    await settle()
    first.cancel()
    await settle()

    third = door.ask(acquire("bob", wait_seconds=60, request_id="r"))
    await door.run(release(token))

    [answer], [twin] = await again, await third
    assert token_of(answer) == token_of(twin) > token
    assert (receipt(answer).replayed, receipt(twin).replayed) == (False, True)
    assert not between.done()
    assert await door.history() == ["acquired ann", "released ann", "acquired bob"]


async def test_the_same_request_id_of_another_caller_is_another_command(door: Door) -> None:
    token = await door.acquire("ann")
    ours = door.ask(acquire("bob", wait_seconds=60, request_id="r"), caller="one")
    theirs = door.ask(acquire("cid", wait_seconds=60, request_id="r"), caller="two")
    await settle()

    await door.run(release(token))

    assert not receipt((await ours)[0]).replayed
    assert not theirs.done()


async def test_who_is_refused_at_its_turn_lets_the_next_one_go_on(door: Door) -> None:
    """Its guard held when it came, and no longer does."""
    await door.run(create())
    token = await door.acquire("ann")
    other = token_of(await door.run(acquire("bob", 5, lock_id="other")))
    waiting = acquire("bob", wait_seconds=60)
    waiting.guards.add().lock.lock_id = "other"
    waiting.guards[0].lock.fencing_token = other
    first, second = door.ask(waiting), door.ask(acquire("cid", wait_seconds=60))
    await settle()
    door.clock.advance(5)

    await door.run(release(token))

    assert reason((await first)[0]) == "GUARD_FAILED"
    assert result((await second)[0]).acquire_lock.lock.holder_id == "cid"


async def test_in_a_frame_nobody_waits(door: Door) -> None:
    outcome = await door.run(acquire("ann", wait_seconds=1))

    assert reason(outcome) == "INVALID_FIELD"


async def test_a_released_and_retaken_lock_of_one_batch_serves_nobody(door: Door) -> None:
    """The lock was never free between two entries."""
    token = await door.acquire("ann")
    waiting = door.ask(acquire("bob", wait_seconds=60))
    await settle()
    batch = type(acquire("x"))()
    batch.execute_batch.request_id = "batch"
    for command in (release(token), acquire("ann")):
        member = batch.execute_batch.commands.add()
        member.CopyFrom(command)
        getattr(member, str(member.WhichOneof("command"))).request_id = ""

    answer = result(await door.run(batch)).execute_batch

    assert answer.results[1].acquire_lock.lock.fencing_token > token
    assert await door.holder() == "ann"
    assert not waiting.done()


async def test_g7_only_so_many_wait(door: Door) -> None:
    await door.acquire("ann")
    waiting = [door.ask(acquire(f"holder-{number}", wait_seconds=60)) for number in range(5)]
    await settle()

    [outcome] = await door.ask(acquire("late", wait_seconds=60))
    assert reason(outcome) == "QUEUE_FULL"
    assert refused(outcome).metadata["unit"] == "commands in line"

    waiting[2].cancel()
    await settle()
    assert not (late := door.ask(acquire("late", wait_seconds=60))).done()
    await settle()
    assert not late.done()


async def test_who_waits_when_the_service_stops_is_told_so(door: Door) -> None:
    await door.acquire("ann")
    waiting = door.ask(acquire("bob", wait_seconds=60))
    await settle()

    await door.namespace.drain()

    assert reason((await waiting)[0]) == "SHUTTING_DOWN"


async def test_g2_a_lock_is_given_only_once_that_is_durable() -> None:
    journal = HeldJournal(await memory_journal())
    door = await Door.open(journal)
    token = await door.acquire("ann")
    waiting = door.ask(acquire("bob", wait_seconds=60))
    await settle()

    journal.hold()
    released = door.ask(release(token))
    await journal.entered.wait()
    await settle()
    assert not waiting.done()
    assert not released.done()

    journal.release()
    assert result((await waiting)[0]).acquire_lock.lock.holder_id == "bob"
    await door.namespace.close()


async def test_g8_a_lock_whose_commit_failed_is_not_called_given() -> None:
    journal = FailingJournal(await memory_journal())
    door = await Door.open(journal)
    token = await door.acquire("ann")
    given = door.ask(acquire("bob", wait_seconds=60))
    waits = door.ask(acquire("cid", wait_seconds=60))
    await settle()
    journal.fails = True

    released = door.ask(release(token))
    outcomes = await asyncio.gather(given, waits, released, return_exceptions=True)

    for outcome in outcomes:
        found = outcome if isinstance(outcome, BaseException) else outcome[0]
        assert reason(found) == "OUTCOME_UNKNOWN"  # type: ignore[arg-type]


async def test_reads_and_other_commands_go_on_while_somebody_waits(door: Door) -> None:
    token = await door.acquire("ann")
    door.ask(acquire("bob", wait_seconds=60))
    await settle()

    await door.run(create())
    answer = await door.run(guarded(post("p1"), token))

    assert result(answer).post_message.sequence == 1
    assert await door.holder() == "ann"
