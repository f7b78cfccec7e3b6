"""P7 and P8: throughput, memory and starts as the log grows. `make bench-large` calls it.

The log gets as many messages as asked, each with a request id, and a fifth as many channels and
reactions; every other id is random, as from a client that does not know the SDK's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc.aio

from bench import plots
from bench.__main__ import RESULTS, recount
from bench.report import machine, target_table
from bench.resident import resident_mib
from bench.servers import work_directory
from bench.targets import Target
from gapless import AsyncClient, new_request_id
from gapless.metadata import call_metadata
from gapless.testing import SubprocessServer
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest, PipelineRequest
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless.v1.reactions_pb2 import AddReactionRequest
from gapless_server.cli.output import progress
from gapless_server.load.plan import DriverSpec, Load
from gapless_server.load.processes import run_load

NAMESPACE = "large"
FRAME_COMMANDS = 1000
FRAMES_IN_FLIGHT = 4
# A channel and a reaction for every so many messages.
SHARE = 5
# Channels and reactions come in atomic batches, one of each for so many messages: a batch has one
# request id, so there are as many ids as messages.
GROUP_MESSAGES = 1000
BODY = Body(data=bytes(100), content_type="text/plain")
# At which parts of the way throughput and memory are looked at.
STEPS = 4
LOOKS = 3
LOOK_SECONDS = 2.0
SDK_DRIVER = "gapless_server.load.gapless_drivers:SdkDriver"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.large", description=__doc__)
    parser.add_argument("--entries", type=int, default=5_000_000, help="how many messages")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    options = parser.parse_args()
    with work_directory() as directory, progress() as bar:
        task = bar.add_task("growing", total=options.entries)
        before = machine(directory)
        with SubprocessServer(directory=directory / "service") as server:
            points = _grow(server, options.entries, lambda done: bar.update(task, completed=done))
            starts = _starts(server)
        recounted = recount(directory / "service" / "data")
    targets = _targets(points, starts)
    shown = {"machine": before, "points": points, "starts": starts, "recounted": recounted}
    shown["targets"] = [target.as_json() for target in targets]
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "large.json").write_text(json.dumps(shown, indent=1) + "\n", "utf-8")
    table = target_table(targets)
    (options.results / "large.md").write_text(f"# As the log grows\n\n{table}\n", "utf-8")
    for name, label in (("posts_per_second", "messages a second"), ("resident_mib", "MiB")):
        line = {point["messages"]: point[name] for point in points}
        plots.draw_growth({"gapless": line}, label, options.results / f"growth_{name}.svg")
    print(table)
    if recounted["breaches"]:
        sys.exit(f"a promise is broken: {recounted['breaches'][0]}")


def _grow(
    server: SubprocessServer, messages: int, on_done: Callable[[int], None]
) -> list[dict[str, float]]:
    points = [_look(server, 0)]
    for step in range(STEPS):
        first, last = messages * step // STEPS, messages * (step + 1) // STEPS
        asyncio.run(_fill(server.address, first, last, on_done))
        points.append(_look(server, last))
    return points


def _look(server: SubprocessServer, messages: int) -> dict[str, float]:
    """P1's load on what there is, several times."""
    spec = DriverSpec(SDK_DRIVER, {"target": server.address, "namespace": NAMESPACE})
    results = []
    for number in range(LOOKS):
        prefix = f"look-{messages}-{number}"
        results.append(run_load(spec, Load(prefix=prefix, in_flight=128, seconds=LOOK_SECONDS)))
    breaches = [breach for result in results for breach in result.breaches]
    if breaches:
        raise RuntimeError(f"an answer breaks a promise: {breaches[0]}")
    return {
        "messages": messages,
        "posts_per_second": statistics.median(result.posts_per_second for result in results),
        "p99_ms": statistics.median(result.p99_ms for result in results),
        "resident_mib": resident_mib(server.pid),
    }


def _request_ids() -> Iterator[str]:
    while True:
        yield new_request_id()
        yield str(uuid.uuid4())


def _commands(first: int, last: int) -> Iterator[Command]:
    """Yields messages, with a batch of channels before and one of reactions after each group."""
    ids = _request_ids()
    for start in range(first, last, GROUP_MESSAGES):
        numbers = range(start, min(start + GROUP_MESSAGES, last))
        yield _batch(next(ids), [_made(number) for number in numbers if number % SHARE == 0])
        for number in numbers:
            yield Command(post_message=_posted(next(ids), number))
        yield _batch(next(ids), [_added(number) for number in numbers if number % SHARE == 0])


def _batch(request_id: str, members: list[Command]) -> Command:
    return Command(execute_batch=ExecuteBatchRequest(request_id=request_id, commands=members))


def _made(number: int) -> Command:
    return Command(create_channel=CreateChannelRequest(channel_id=_channel_id(number)))


def _posted(request_id: str, number: int) -> PostMessageRequest:
    return PostMessageRequest(
        request_id=request_id,
        channel_id=_channel_id(number),
        message_id=f"message-{number}",
        sender_id=f"user-{number % 1000}",
        body=BODY,
    )


def _added(number: int) -> Command:
    added = AddReactionRequest(
        channel_id=_channel_id(number),
        message_id=f"message-{number}",
        user_id="user-1",
        emoji="heart",
    )
    return Command(add_reaction=added)


def _channel_id(number: int) -> str:
    return f"channel-{number // SHARE}"


async def _fill(target: str, first: int, last: int, on_done: Callable[[int], None]) -> None:
    """Sends frames, a few of them under way; every command must be taken."""
    places = asyncio.Semaphore(FRAMES_IN_FLIGHT)
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = CommandServiceStub(channel)
        stream = stub.Pipeline(metadata=call_metadata(namespace=NAMESPACE))

        async def send() -> None:
            commands = _commands(first, last)
            while frame := list(itertools.islice(commands, FRAME_COMMANDS)):
                await places.acquire()
                await stream.write(PipelineRequest(commands=frame))
            await stream.done_writing()

        sending = asyncio.create_task(send())
        done = first
        async for response in stream:
            places.release()
            for result in response.results:
                if result.HasField("error"):
                    raise RuntimeError(f"a command was refused: {result.error}")
                done += result.HasField("post_message")
            on_done(done)
        await sending


def _starts(server: SubprocessServer) -> dict[str, float]:
    """Seconds from the start of the process to an answer out of the log, after both ends."""
    taken = {}
    for name, end in (("clean", server.stop), ("killed", server.kill)):
        if name == "killed":
            # So that there is something behind the last checkpoint.
            _look(server, -1)
        end()
        began = time.perf_counter()
        server.start()
        asyncio.run(_answer(server.address))
        taken[f"{name}_seconds"] = time.perf_counter() - began
        taken[f"{name}_resident_mib"] = resident_mib(server.pid)
    return taken


async def _answer(target: str) -> None:
    async with AsyncClient(target, namespace=NAMESPACE, timeout=600) as client:
        await client.channels.get("channel-0")


def _targets(points: list[dict[str, float]], starts: dict[str, float]) -> list[Target]:
    before, after = points[0]["posts_per_second"], points[-1]["posts_per_second"]
    resident = max(point["resident_mib"] for point in points)
    count = f"{points[-1]['messages']:,.0f} messages"
    detail = f"{after:,.0f}/s against {before:,.0f}/s, {count}"
    return [
        Target(
            "P7",
            "throughput to that of an empty log",
            "at least",
            0.8,
            after / before,
            detail=detail,
        ),
        Target("P8", "resident", "at most", 600, resident, "MiB", count),
        Target("P8", "start after a clean stop", "at most", 3, starts["clean_seconds"], "s"),
        Target("P8", "start after SIGKILL", "at most", 10, starts["killed_seconds"], "s"),
    ]


if __name__ == "__main__":
    main()
