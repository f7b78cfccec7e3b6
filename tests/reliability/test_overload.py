"""Ten times what the service can do: it says so, stays as large, and serves the others (G7).

First its capacity is measured: the best second of one client that keeps two frames of 1,000 posts
unanswered. Then clients offer 12 times that in an open loop: each frame is due by the clock,
whatever became of those before. Offered is what found a place on a stream, which has 10 of them:
the service holds 8 unanswered frames of a stream, and the flow control of HTTP/2 keeps the others
waiting. What is due while no stream has a place is pushed back: never sent, and counted apart. At
least ten times the capacity must have been offered.

What is refused must be RESOURCE_EXHAUSTED with the delay to come again; what was called done is in
the log once; what was called refused is not; what its client gave up, a second after the flood
ended, is in it once or not at all. From the end of the flood on, the same client as at first must
have nine tenths of its throughput back within 5 s. A new service that is left alone is measured
before and after, to tell how fast the machine is; the small tier, beside which other tests use the
machine, judges no rates.

Before that, floods of other shapes keep the queue full in a closed loop: large bodies, unary calls,
and more streams than may be open.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import grpc.aio
import pytest

from gapless.testing import SubprocessServer
from gapless.v1.messages_pb2 import PostMessageResponse
from gapless_server.settings import MIB, Settings
from gapless_server.writer.checkpointer import PATIENCE
from tests.reliability.flood_tally import Tally
from tests.reliability.floods import CHANNELS, Flood, flooding
from tests.reliability.harness import Run, harness
from tests.reliability.overload_sizes import FULL, SMALL, Size
from tests.reliability.stored_logs import breaches, stored_entries
from tests.resident import resident_mib
from tests.rpc.wire import open_wire, post
from tests.scenarios.processes import Place

FLOODED, QUIET = "flooded", "quiet"
QUEUE_FULL: Final = ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
TOO_MANY_STREAMS: Final = ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS", True)
REFUSALS: Final = {QUEUE_FULL, TOO_MANY_STREAMS}

# Of what a service without namespaces takes.
START_MIB: Final = 80
# What a command that waits takes beside its bytes: the message, its part of the frame, the answer.
WAITING_COMMAND_KIB: Final = 4
# A call or a stream that is open.
CALL_KIB: Final = 48
# What was committed: its key, its request id, and what its row takes beside its bytes.
COMMITTED_COMMAND_BYTES: Final = 250
# What waits for a checkpoint, what one is writing, and what the one before has written.
LAYERS_OF_ROWS: Final = 3
# A round is there as entries, as the journal writes it, as answers and as the messages of these.
COPIES_OF_A_ROUND: Final = 4

SAMPLE_SECONDS: Final = 0.1
# What counts as an overload.
OFFERED_TIMES_MIN: Final = 10
# Until all processes of a flood have started.
START_SECONDS: Final = 3.0
# How soon how much of the throughput must be back.
BACK_SECONDS: Final = 5
BACK_SHARE: Final = 0.9

PROMISED = [
    "answered_lost", "refused_done", "commands_twice", "breaches", "other_refusals",
    "others_not_served", "never_refused", "offered_too_little", "memory_mib_over",
    "not_back_to_normal",
]  # fmt: skip


def memory_mib_max(settings: Settings, calls: int, committed: int) -> float:
    """Returns what the service may take, by its settings alone but for what it must remember."""
    waiting = settings.queue_commands_max + settings.round_commands_max
    return (
        START_MIB
        + 2 * settings.queue_bytes_max / MIB
        + waiting * WAITING_COMMAND_KIB / 1024
        + COPIES_OF_A_ROUND * 2 * settings.round_bytes_max / MIB
        + LAYERS_OF_ROWS * PATIENCE * settings.checkpoint_bytes / MIB
        + settings.feed_bytes_max / MIB
        + calls * CALL_KIB / 1024
        + committed * COMMITTED_COMMAND_BYTES / MIB
    )


async def watch_memory(server: SubprocessServer) -> list[float]:
    """Returns the resident MiB of the service, over and over, until cancelled."""
    found = []
    try:
        while True:
            found.append(resident_mib(server.pid))
            await asyncio.sleep(SAMPLE_SECONDS)  # a sample
    except asyncio.CancelledError:
        return found


async def serve_others(run: Run, address: str, name: str) -> list[float]:
    """Posts to another namespace, one after another, until cancelled; returns how long each took.

    None of it may be refused, and each must be answered within the patience of `Wire`.
    """
    seconds = []
    async for wire in open_wire(address, QUIET):
        await wire.create_channel()
        try:
            while True:
                began = time.monotonic()
                request = post(f"{name}-{len(seconds)}").post_message
                await wire.call("MessageService/PostMessage", request, PostMessageResponse)
                seconds.append(time.monotonic() - began)
                await asyncio.sleep(SAMPLE_SECONDS)  # a quiet client
        except asyncio.CancelledError:
            return seconds
        except grpc.aio.AioRpcError as error:
            run.violation("others_not_served", f"{error.code()}: {error.details()}")
    return seconds


async def finish(task: asyncio.Task[list[float]]) -> list[float]:
    task.cancel()
    return await task


async def overload(
    run: Run, server: SubprocessServer, floods: Sequence[Flood], *after: Flood
) -> list[Tally]:
    """Runs floods, and what comes after them; returns what they were told, in this order.

    Another namespace must be served all the while.
    """
    name = floods[0].name
    others = asyncio.create_task(serve_others(run, server.address, name))
    with flooding(*floods, *after) as running:
        tallies = await running.tallies()
    seconds = await finish(others)
    run.count("served_others", len(seconds))
    run.count(f"others_ms_median {name}", round(median(seconds) * 1000))
    run.count(f"others_ms_max {name}", round(max(seconds) * 1000))
    return tallies


def rates(tally: Tally) -> list[int]:
    """Commands acknowledged in each whole second, in order; the first and the last are not."""
    return [number for _second, number in sorted(tally.seconds.items())][1:-1]


def judge_memory(
    run: Run, settings: Settings, calls: int, tallies: list[Tally], resident: list[float]
) -> None:
    """The service must be no larger than its settings say, and what it must remember."""
    mib_max = memory_mib_max(settings, calls, sum(tally.acknowledged for tally in tallies))
    run.count("resident_mib_max", round(max(resident)))
    run.count("resident_mib_halfway", round(max(resident[: len(resident) // 2])))
    run.count("resident_mib_bound", round(mib_max))
    if max(resident) > mib_max:
        run.violation("memory_mib_over", f"{max(resident):.0f} MiB, and {mib_max:.0f} are enough")


def judge_offer(run: Run, tallies: list[Tally], capacity: float, *, at_least: int) -> None:
    """What was offered must have been so many times the capacity."""
    offered = sum(tally.sent for tally in tallies)
    counted = {
        "due": sum(tally.due for tally in tallies),
        "offered": offered,
        "pushed_back": sum(tally.pushed_back for tally in tallies),
        "given_up": sum(sum(tally.given_up.values()) for tally in tallies),
        "acknowledged_meanwhile": sum(tally.acknowledged for tally in tallies),
        "capacity_per_second": round(capacity),
        "offered_percent_of_capacity": round(100 * offered / (capacity * run.times)),
    }
    run.counts.update(counted)
    if offered < at_least * capacity * run.times:
        run.violation("offered_too_little", f"{offered} commands: {counted}")


def judge_refusals(run: Run, tallies: list[Tally]) -> None:
    """Every refusal must be one that says when to come again; each of them must have been seen."""
    refusals = sum((tally.refusals for tally in tallies), Counter())
    for refusal, number in refusals.items():
        run.count(f"refused {refusal[1] or refusal[0]}", number)
        if refusal not in REFUSALS:
            run.violation("other_refusals", f"{number} commands: {refusal}", number)
    run.count("refused and hidden by gRPC", sum(tally.hidden for tally in tallies))
    for refusal in REFUSALS - refusals.keys():
        run.violation("never_refused", f"{refusal[1]}: that was no overload")


def frames_in_the_log(data: Path) -> Iterator[tuple[str, int]]:
    """Yields, for each command in the log, its frame and its place there."""
    for stored in stored_entries(data, FLOODED):
        frame, _, index = stored.entry.request_id.rpartition(".")
        if frame:
            yield frame, int(index)


def judge_log(run: Run, data: Path, tallies: list[Tally]) -> None:
    """What was acknowledged must be in the log once, and nothing else but what was given up."""
    answered = {frame: one for tally in tallies for frame, one in tally.answered.items()}
    given_up = {frame: one for tally in tallies for frame, one in tally.given_up.items()}
    found = {frame: bytearray(len(one)) for frame, one in answered.items()}
    found |= {frame: bytearray(commands) for frame, commands in given_up.items()}
    for frame, index in frames_in_the_log(data):
        found[frame][index] += 1
    for frame, times in found.items():
        expected = answered.get(frame) or times.replace(b"\2", b"\1")
        if times != expected:
            tell_difference(run, frame, times, expected)
    for namespace in (FLOODED, QUIET):
        for breach in breaches(data, namespace):
            run.violation("breaches", breach)


def tell_difference(run: Run, frame: str, found: Sequence[int], expected: Sequence[int]) -> None:
    for index, (times, was) in enumerate(zip(found, expected, strict=True)):
        if times != was:
            wrong = ("answered_lost" if was else "refused_done") if times < 2 else ""
            what = f"{frame}.{index} is in the log {times} times, and not {was}"
            run.violation(wrong or "commands_twice", what)


def judge_return(run: Run, usual: float, after: Tally, ended: float) -> None:
    """The throughput must be back soon after the flood has ended."""
    seconds = sorted(after.seconds.items())[:-1]
    soon = [number for second, number in seconds if second <= ended + BACK_SECONDS - 1]
    later = [number for second, number in seconds if second > ended + BACK_SECONDS - 1]
    run.count("commands_per_second_usual", round(usual))
    run.count("commands_per_second_within_5_s", max(soon))
    run.count("commands_per_second_after", round(median(later)))
    if max(soon) < BACK_SHARE * usual:
        text = f"{max(soon)} commands/s within {BACK_SECONDS} s, {usual:.0f} is usual"
        run.violation("not_back_to_normal", text)


async def make_channels(place: Place) -> None:
    async for wire in open_wire(place.address, place.namespace):
        for channel_id in CHANNELS:
            await wire.create_channel(channel_id)


async def alone(flood: Flood) -> Tally:
    """Runs a flood that is none, since nothing else is sent meanwhile."""
    with flooding(flood) as running:
        [tally] = await running.tallies()
    return tally


async def machine_rate(size: Size) -> float:
    """Returns what a new service that is left alone does a second: how fast the machine is now."""
    with SubprocessServer(**size.settings) as server:
        place = Place(server.address, FLOODED)
        await make_channels(place)
        return median(rates(await alone(size.probe(place, "alone", size.probe_seconds))))


async def whole_run(run: Run, server: SubprocessServer, size: Size) -> list[Tally]:
    """Returns what every client was told."""
    place = Place(server.address, FLOODED)
    await make_channels(place)
    memory = asyncio.create_task(watch_memory(server))
    machine_before = await machine_rate(size) if size.is_judged else 0.0
    before = await alone(size.probe(place, "before", size.probe_seconds))
    capacity = max(before.seconds.values())

    shapes = size.shapes(place)
    of_shapes = await overload(run, server, shapes)
    begins = time.monotonic() + START_SECONDS
    ended = begins + run.times
    scheduled = size.scheduled(place, run.times, begins, capacity)
    after_seconds = size.probe_seconds + (BACK_SECONDS if size.is_judged else 0)
    probe = size.probe(place, "after", after_seconds, ended)
    *of_schedule, after = await overload(run, server, scheduled, probe)

    tallies = [before, *of_shapes, *of_schedule, after]
    calls = max(sum(flood.calls for flood in one) for one in (shapes, scheduled))
    judge_memory(run, server.settings, calls, tallies, await finish(memory))
    judge_refusals(run, tallies)
    judge_offer(run, of_schedule, capacity, at_least=OFFERED_TIMES_MIN if size.is_judged else 0)
    if size.is_judged:
        machine = await machine_rate(size) / machine_before
        run.count("machine_percent_of_before", round(100 * machine))
        judge_return(run, machine * median(rates(before)), after, ended)
    return tallies


@pytest.mark.timeout(0)
def test_g7_ten_times_too_much_is_refused_with_a_delay_and_changes_nothing_for_others(
    tmp_path: Path,
) -> None:
    with harness("overload", small=2, full=60, promised=PROMISED) as run:
        size = FULL if run.tier == "full" else SMALL
        with SubprocessServer(directory=tmp_path, **size.settings) as server:
            tallies = asyncio.run(whole_run(run, server, size))
        judge_log(run, server.settings.data, tallies)
