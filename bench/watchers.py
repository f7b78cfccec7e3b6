"""P9: many watch everything that is posted at a steady rate, and some of them never read.

The watchers run in a process of their own: `python -m bench.watchers ADDRESS` says when all their
streams are open and those that are read have caught up, and at the end what each has seen. So what
is measured is the watching, not the reading of what was there before.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import grpc.aio

from bench.resident import resident_mib
from gapless import AsyncClient
from gapless.metadata import call_metadata
from gapless.v1.events_pb2 import WatchRequest
from gapless.v1.events_pb2_grpc import EventServiceStub
from gapless_server.load.processes import loop_factory
from gapless_server.load.tally import percentile

WATCHERS = 100
NEVER_READ = 20
POSTS_PER_SECOND = 5_000
# Posts are sent in bursts, so that the rate is kept without a timer for each.
BURSTS_PER_SECOND = 100
CHANNEL = "watched"
NAMESPACE = "watched"
CATCH_UP_SECONDS_MAX = 300.0
# More than one connection, since a slow stream may hold up those that share its connection.
STREAMS_A_CONNECTION = 10


async def watch_probe(target: str, pid: int, seconds: float) -> dict[str, Any]:
    """Posts without watchers, then with; returns p99 of both, and who missed something."""
    async with AsyncClient(target, namespace=NAMESPACE, timeout=CATCH_UP_SECONDS_MAX) as writer:
        await writer.channels.create(CHANNEL)
        alone = await _post_steadily(writer, seconds)
        before = resident_mib(pid)
        # Not by the event loop: uvloop forks, and gRPC may not survive that.
        program = subprocess.Popen(  # noqa: ASYNC220 - see above
            [sys.executable, "-m", "bench.watchers", target], stdout=subprocess.PIPE
        )
        with program:
            assert program.stdout is not None
            await asyncio.to_thread(program.stdout.readline)
            watched = await _post_steadily(writer, seconds)
            archived = await writer.channels.archive(CHANNEL)
            last = archived.receipt.position
            line = asyncio.to_thread(program.stdout.readline)
            try:
                seen = json.loads(await asyncio.wait_for(line, CATCH_UP_SECONDS_MAX))
            except TimeoutError:
                program.kill()
                raise
            growth = resident_mib(pid) - before
    return {
        "watchers": WATCHERS,
        "never_read": NEVER_READ,
        "events": last,
        "posts_per_second": len(watched) / seconds,
        "p99_alone_ms": percentile(sorted(alone), 99) * 1000,
        "p99_watched_ms": percentile(sorted(watched), 99) * 1000,
        "incomplete": sum(1 for one in seen if one != [last, True]),
        "resident_growth_mib": growth,
    }


async def _post_steadily(writer: AsyncClient, seconds: float) -> list[float]:
    """Posts at the rate for so long; returns the latency of each in seconds."""
    latencies: list[float] = []

    async def post() -> None:
        sent = time.perf_counter()
        await writer.messages.post(CHANNEL, "writer", bytes(100))
        latencies.append(time.perf_counter() - sent)

    tasks: list[asyncio.Task[None]] = []
    began = time.perf_counter()
    for burst in range(1, int(seconds * BURSTS_PER_SECOND) + 1):
        tasks += [asyncio.create_task(post()) for _ in range(POSTS_PER_SECOND // BURSTS_PER_SECOND)]
        await asyncio.sleep(max(0.0, began + burst / BURSTS_PER_SECOND - time.perf_counter()))
    await asyncio.gather(*tasks)
    return latencies


async def _watch(call: Any, caught_up: asyncio.Event) -> tuple[int, bool]:
    """Reads until the channel is archived; returns the last position, and whether none missed."""
    last, dense = 0, True
    async for response in call:
        if response.HasField("caught_up"):
            caught_up.set()
        # With little work for each entry: what the watchers take of two cores, the service lacks.
        entries = response.entries.entries
        positions = [entry.position for entry in entries]
        if not positions:
            continue
        dense = dense and positions == list(range(last + 1, last + 1 + len(positions)))
        last = positions[-1]
        if entries[-1].events[0].HasField("channel_archived"):
            call.cancel()
            return last, dense
    return last, False


async def _watchers(target: str) -> None:
    channels = [
        grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])
        for _ in range(WATCHERS // STREAMS_A_CONNECTION)
    ]
    calls = []
    for number in range(WATCHERS):
        stub: Any = EventServiceStub(channels[number // STREAMS_A_CONNECTION])
        metadata = call_metadata(namespace=NAMESPACE)
        call = stub.Watch(WatchRequest(from_start=True), metadata=metadata)
        await call.wait_for_connection()
        calls.append(call)
    # The last ones have connections of their own, and are never read.
    read = calls[: WATCHERS - NEVER_READ]
    caught_up = [asyncio.Event() for _ in read]
    reading = [asyncio.create_task(_watch(*each)) for each in zip(read, caught_up, strict=True)]
    async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
        await asyncio.gather(*(one.wait() for one in caught_up))
    print("ready", flush=True)
    print(json.dumps(await asyncio.gather(*reading)), flush=True)
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_watchers(sys.argv[1]))
