"""Calls that are given up in every way: done once or not at all, and nothing is left of them (G3).

Beside cancelled calls: deadlines of 1 ms, streams of frames and of events given up in the middle,
HTTP/2 streams reset with their request, connections reset, and waits for a lock given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from gapless import AsyncClient
from gapless.v1.messages_pb2 import PostMessageResponse
from tests.reliability.counted_service import CountedService
from tests.reliability.harness import Run, harness
from tests.reliability.stored_logs import breaches, request_counts
from tests.reliability.storms import HELD_LOCK, WAIT_SECONDS, Storm

NAMESPACE = "storms"
# So many wait for the lock to the end, between all those that give up.
WAITING = 5
# The service hears of what is reset a moment later; a task that stays must end the test.
QUIET_SECONDS_MAX = 30.0
# So many of the commands are sent again after the storm, of all those that have no answer.
SENT_AGAIN_MAX = 1000
# A command that was committed is remembered for ever: its key, its message, and a share of the
# feed and of what the allocator holds. Measured: about 1 KiB; so nothing may grow beyond that.
KIB_A_COMMAND_MAX = 2
KIB_MAX = 32 * 1024
# Waiters who left are forgotten when there are many of them: see writer/lines.py.
KEPT_MAX = {"waiters": 1000 + WAITING, "frames": 1000 + WAITING}

PROMISED = [
    "commands_twice", "answers_lost", "answers_changed", "breaches", "left_behind",
    "waits_not_served", "unexpected_ends", "memory_grown",
]  # fmt: skip


async def quiet(service: CountedService, before: Mapping[str, int]) -> dict[str, int]:
    """Returns what the service holds more than before, once that is nothing or does not change."""
    give_up_time = time.monotonic() + QUIET_SECONDS_MAX
    while True:
        counts = await asyncio.to_thread(service.counts)
        more = {
            name: count - before[name]
            for name, count in counts.items()
            if name != "resident_kib" and count > before[name] + KEPT_MAX.get(name, 0)
        }
        if not more or time.monotonic() > give_up_time:
            return more
        await asyncio.sleep(0.05)  # as asking collects garbage, and what ends needs time


async def waits_in_turn(run: Run, waiting: list[asyncio.Task[int]], client: AsyncClient) -> None:
    """Each who waits is to get the lock from the one before."""
    for task in waiting:
        try:
            token = await asyncio.wait_for(task, QUIET_SECONDS_MAX)
        except TimeoutError:
            run.violation("waits_not_served", "the lock is free and who waits did not get it")
            return
        await client.locks.release(HELD_LOCK, token)


async def stand_in_line(service: CountedService, client: AsyncClient) -> list[asyncio.Task[int]]:
    """Lets several wait for the lock, one after another."""

    async def wait_for_lock(name: str) -> int:
        acquired = await client.locks.acquire(HELD_LOCK, name, ttl=WAIT_SECONDS, wait=WAIT_SECONDS)
        return acquired.lock.fencing_token

    waiting = []
    for number in range(1, WAITING + 1):
        waiting.append(asyncio.create_task(wait_for_lock(f"waits-{number}")))
        while (await asyncio.to_thread(service.counts))["in_line"] < number:
            pass  # asking takes its time
    return waiting


async def weather(run: Run, storm: Storm) -> None:
    """Lets every way to leave have its turn, until there were so many calls."""
    ways = storm.ways()
    calls = 0
    while calls < run.times:
        for way, burst in ways.items():
            count = await burst()
            run.count(way, count)
            calls += count
        # It serves in between, in time: a hang ends the test.
        await storm.post(storm.new_request())
    for end in storm.unexpected:
        run.violation("unexpected_ends", end)


async def send_again(run: Run, storm: Storm) -> dict[str, PostMessageResponse]:
    """Sends commands once more; returns the answers, by request id."""
    open_ended = [request_id for request_id in storm.requests if request_id not in storm.answered]
    chosen = run.chance.sample(open_ended, min(SENT_AGAIN_MAX, len(open_ended)))
    chosen += run.chance.sample(sorted(storm.answered), min(SENT_AGAIN_MAX, len(storm.answered)))
    answers = {name: await storm.post(storm.requests[name]) for name in chosen}
    for name, first in storm.answered.items():
        if name in answers and answers[name].sequence != first.sequence:
            run.violation("answers_changed", f"{name}: {first}, then {answers[name]}")
    run.count("sent_again", len(answers))
    run.count("found_done", sum(answer.receipt.replayed for answer in answers.values()))
    return answers


async def storm_over(run: Run, service: CountedService) -> tuple[Storm, dict[str, int]]:
    """Runs the storm to its end, and returns how often each command must be in the log."""
    storm = Storm(service.address, NAMESPACE, run.chance)
    await storm.create_channels()
    async with AsyncClient(service.address, namespace=NAMESPACE) as client:
        held = await client.locks.acquire(HELD_LOCK, "holder", ttl=WAIT_SECONDS)
        waiting = await stand_in_line(service, client)
        before = await asyncio.to_thread(service.counts)
        await weather(run, storm)
        if more := await quiet(service, before):
            run.violation("left_behind", f"the service still holds {more} more than before")
        await client.locks.release(HELD_LOCK, held.lock.fencing_token)
        await waits_in_turn(run, waiting, client)
        grown = (await asyncio.to_thread(service.counts))["resident_kib"] - before["resident_kib"]
        run.count("resident_kib_grown", grown)
        if grown > KIB_MAX + KIB_A_COMMAND_MAX * len(storm.requests):
            run.violation("memory_grown", f"by {grown} KiB in {len(storm.requests)} commands")
        answers = await send_again(run, storm)
        await storm.close()
    return storm, dict.fromkeys([*storm.answered, *answers], 1)


@pytest.mark.timeout(0)
def test_g3_a_call_that_is_given_up_is_done_once_or_not_at_all_and_nothing_is_left_of_it(
    tmp_path: Path,
) -> None:
    with harness("cancelled_calls", small=2_000, full=100_000, promised=PROMISED) as run:
        with CountedService(tmp_path) as service:
            storm, expected = asyncio.run(storm_over(run, service))
        counts = request_counts(service.data, NAMESPACE)
        run.count("commands", len(storm.requests))
        run.count("answered", len(storm.answered))
        run.count("committed", sum(name in counts for name in storm.requests))
        for name, number in counts.items():
            if number > 1:
                run.violation("commands_twice", f"{name} is in the log {number} times")
        for name in expected.keys() - counts.keys():
            run.violation("answers_lost", f"{name} was answered and is not in the log")
        for breach in breaches(service.data, NAMESPACE):
            run.violation("breaches", breach)
