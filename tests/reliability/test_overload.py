"""Far more than the service can do: it says so, stays as large, and serves the others (G7).

Floods of frames, of unary calls and of streams keep a namespace as full as its queue allows. What
they are refused must be RESOURCE_EXHAUSTED with the delay to come again; what they were told is
done is in the log once, and nothing else is; another namespace is served all the while.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc.aio
import pytest

from gapless.testing import SubprocessServer
from gapless.v1.messages_pb2 import PostMessageResponse
from gapless_server.settings import MIB, Settings
from tests.reliability.floods import CHANNELS, Flood, Frames, Streams, Tally, Unary, flooding
from tests.reliability.harness import Run, harness
from tests.reliability.stored_logs import breaches, stored_entries
from tests.rpc.wire import Wire, open_wire, post
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
# What was committed: its key, and its row and request id until the next checkpoint is written.
COMMITTED_COMMAND_BYTES: Final = 250
# A round is there as entries, as the journal writes it, as answers and as the messages of these.
COPIES_OF_A_ROUND: Final = 4

# Small limits are reached with little.
SMALL_LIMITS: Final[dict[str, Any]] = {
    "queue_commands_max": 1000,
    "queue_bytes_max": 4 * MIB,
    "round_bytes_max": 4 * MIB,
    "feed_bytes_max": MIB,
    "pipeline_streams_max": 20,
}

SAMPLE_SECONDS: Final = 0.1
# What the throughput is compared over, before and after; and how soon it must be back.
NORMAL_SECONDS: Final = 8
BACK_SECONDS: Final = 5
BACK_SHARE: Final = 0.9

PROMISED = [
    "answered_lost", "refused_done", "commands_twice", "breaches", "other_refusals",
    "others_not_served", "never_refused", "memory_mib_over", "not_back_to_normal",
]  # fmt: skip


def memory_mib_max(settings: Settings, calls: int, committed: int) -> float:
    """Returns what the service may take, by its settings alone but for what it must remember."""
    waiting = settings.queue_commands_max + settings.round_commands_max
    return (
        START_MIB
        + 2 * settings.queue_bytes_max / MIB
        + waiting * WAITING_COMMAND_KIB / 1024
        + COPIES_OF_A_ROUND * 2 * settings.round_bytes_max / MIB
        + settings.feed_bytes_max / MIB
        + calls * CALL_KIB / 1024
        + committed * COMMITTED_COMMAND_BYTES / MIB
    )


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


async def watch_memory(server: SubprocessServer) -> list[float]:
    """Returns the resident MiB of the service, over and over, until cancelled."""
    found = []
    try:
        while True:
            found.append(resident_mib(server.pid))
            await asyncio.sleep(SAMPLE_SECONDS)  # a sample
    except asyncio.CancelledError:
        return found


async def serve_others(run: Run, address: str) -> list[float]:
    """Posts to another namespace, one after another, until cancelled; returns how long each took.

    None of it may be refused, and each must be answered within the patience of `Wire`.
    """
    seconds = []
    async for wire in open_wire(address, QUIET):
        await wire.create_channel()
        try:
            while True:
                began = time.monotonic()
                request = post(f"quiet-{len(seconds)}").post_message
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


def floods(place: Place, seconds: float, *, full: bool) -> list[Flood]:
    """What is sent in the size of the tier: several times what the queue has room for."""
    if not full:
        # Of each stream 8 frames are taken in: more than a round and a full queue hold together.
        return [
            Frames("frames", place, seconds, streams=4, frames_unanswered=10, frame_commands=100),
            Unary("unary", place, seconds, calls_unanswered=200),
            Streams("streams", place, seconds, streams=40),
        ]
    return [
        Frames("frames", place, seconds, streams=20, frames_unanswered=10, frame_commands=1000),
        Frames(
            "large", place, seconds / 6, streams=8, frames_unanswered=10, frame_commands=50,
            body_bytes=40_000,
        ),
        Unary("unary", place, seconds, calls_unanswered=2000),
        Streams("streams", place, seconds, streams=1200),
    ]  # fmt: skip


async def normal(place: Place, name: str, seconds: float) -> Tally:
    """Sends as one busy client would, which is never refused."""
    with flooding(Frames(name, place, seconds)) as running:
        [tally] = await running.tallies()
    return tally


def rates(tally: Tally) -> list[int]:
    """Commands acknowledged in each whole second, in order; the first and the last are not."""
    return [number for _second, number in sorted(tally.seconds.items())][1:-1]


async def overload(run: Run, server: SubprocessServer, place: Place, *, full: bool) -> list[Tally]:
    """Runs the floods; returns what they were told."""
    sent = floods(place, run.times, full=full)
    memory = asyncio.create_task(watch_memory(server))
    others = asyncio.create_task(serve_others(run, server.address))
    with flooding(*sent) as running:
        tallies = await running.tallies()
    served, resident = await finish(others), await finish(memory)
    committed = sum(sum(one) for tally in tallies for one in tally.answered.values())
    run.count("acknowledged", committed)
    run.count("served_others", len(served))
    run.count("others_ms_median", round(median(served) * 1000))
    run.count("others_ms_max", round(max(served) * 1000))
    mib_max = memory_mib_max(server.settings, sum(flood.calls for flood in sent), committed)
    run.count("resident_mib_max", round(max(resident)))
    run.count("resident_mib_halfway", round(max(resident[: len(resident) // 2])))
    run.count("resident_mib_bound", round(mib_max))
    if max(resident) > mib_max:
        run.violation("memory_mib_over", f"{max(resident):.0f} MiB, and {mib_max:.0f} are enough")
    return tallies


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
    """What was acknowledged must be in the log once, and nothing else."""
    answered = {frame: one for tally in tallies for frame, one in tally.answered.items()}
    found = {frame: bytearray(len(one)) for frame, one in answered.items()}
    for frame, index in frames_in_the_log(data):
        found[frame][index] += 1
    for frame, expected in answered.items():
        for index, (times, was) in enumerate(zip(found[frame], expected, strict=True)):
            if times != was:
                wrong = ("answered_lost" if was else "refused_done") if times < 2 else ""
                what = f"{frame}.{index} is in the log {times} times, and not {was}"
                run.violation(wrong or "commands_twice", what)
    for namespace in (FLOODED, QUIET):
        for breach in breaches(data, namespace):
            run.violation("breaches", breach)


def judge_return(run: Run, before: Tally, after: Tally) -> None:
    """The throughput must be back soon; as of what it was before, or is from then on."""
    soon, later = rates(after)[: BACK_SECONDS - 1], rates(after)[BACK_SECONDS - 1 :]
    usual = min(median(rates(before)), median(later))
    run.count("commands_per_second_before", round(median(rates(before))))
    run.count("commands_per_second_within_5_s", max(soon))
    run.count("commands_per_second_after", round(median(later)))
    if max(soon) < BACK_SHARE * usual:
        text = f"{max(soon)} commands/s within {BACK_SECONDS} s, {usual:.0f} is usual"
        run.violation("not_back_to_normal", text)


async def whole_run(run: Run, server: SubprocessServer, *, full: bool) -> list[Tally]:
    """Returns what every client was told."""
    place = Place(server.address, FLOODED)
    async for wire in open_wire(server.address, FLOODED):
        await make_channels(wire)
    before = await normal(place, "before", NORMAL_SECONDS if full else 1)
    tallies = await overload(run, server, place, full=full)
    after = await normal(place, "after", BACK_SECONDS + NORMAL_SECONDS if full else 1)
    judge_refusals(run, tallies)
    for tally in (before, after):
        if tally.refusals:
            run.violation("not_back_to_normal", f"one client alone was refused {tally.refusals}")
    if full:
        # In the small tier other tests use the machine; there it only has to be served in full.
        judge_return(run, before, after)
    return [before, *tallies, after]


async def make_channels(wire: Wire) -> None:
    for channel_id in CHANNELS:
        await wire.create_channel(channel_id)


@pytest.mark.timeout(0)
def test_g7_far_too_much_is_refused_with_a_delay_and_changes_nothing_for_others(
    tmp_path: Path,
) -> None:
    with harness("overload", small=3, full=60, promised=PROMISED) as run:
        full = run.tier == "full"
        limits = {} if full else SMALL_LIMITS
        with SubprocessServer(directory=tmp_path, **limits) as server:
            tallies = asyncio.run(whole_run(run, server, full=full))
        judge_log(run, server.settings.data, tallies)
