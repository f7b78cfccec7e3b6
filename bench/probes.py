"""P9 to P12: watchers, reads, pools, and a noisy neighbour; against the running service."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc.aio

from bench.run import OnNews, Servers, driver_of
from bench.systems import ECHO_UNARY, HOT, MANY, SDK
from bench.targets import Target
from bench.watchers import watch_probe
from gapless import AsyncClient
from gapless.v1.channels_pb2 import GetChannelRequest
from gapless.v1.channels_pb2_grpc import ChannelServiceStub
from gapless.v1.messages_pb2 import GetMessageRequest
from gapless.v1.messages_pb2_grpc import MessageServiceStub
from gapless_server.load.plan import DriverSpec, Load
from gapless_server.load.processes import loop_factory, run_load
from gapless_server.load.tally import LoadResult

# How many probes there are, for the progress bar.
COUNT = 4
READS = 300
LIST_ITEMS = 100
UNREAD_CHANNELS = 200
POOL_CLIENTS = 100
POOL_RESERVATIONS = 10_000
POOL_LISTED = 1_000
SETTING_UP = 500
# Of the quiet neighbour: a command after another, in its own namespace.
QUIET = {"processes": 1, "in_flight": 1, "channels": HOT}
NOISY = {"processes": 1, "in_flight": 128, "channels": MANY}


def run(servers: Servers, seconds: float, on_news: OnNews) -> tuple[dict[str, Any], list[Target]]:
    """Runs all four; returns their figures, and their rows."""
    target = str(servers.facts(SDK)["target"])
    echo_port = int(str(servers.facts(ECHO_UNARY)["port"]))
    pid = int(str(servers.facts(SDK)["pid"]))
    on_news("reads")
    reads = _on_loop(_reads(target, echo_port))
    on_news("pools")
    pools = _on_loop(_pools(target))
    on_news("a noisy neighbour")
    neighbour = _neighbour(servers, seconds)
    on_news("watchers")
    watchers = _on_loop(watch_probe(target, pid, seconds))
    figures = {"reads": reads, "pools": pools, "neighbour": neighbour, "watchers": watchers}
    return figures, [
        *_watch_targets(watchers),
        *_read_targets(reads),
        Target("P11", "10,000 reservations", "at most", 1, pools["reserve_seconds"], "s"),
        Target("P11", "1,000 listed", "at most", 5, pools["list_ms"], "ms"),
        Target(
            "P12",
            "quiet p99, beside noise to alone",
            "at most",
            3,
            neighbour["p99_beside_noise_ms"] / neighbour["p99_alone_ms"],
            detail=f"{neighbour['p99_alone_ms']:.2f} ms alone",
        ),
    ]


def _on_loop(probe: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Runs a probe on the event loop that the loads have."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(probe)


async def _p50s_ms(
    calls: Mapping[str, Callable[[], Awaitable[object]]], times: int = READS
) -> dict[str, float]:
    """The medians of calls, made by turns: what the machine does meanwhile falls on all."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(times):
        for name, call in calls.items():
            began = time.perf_counter()
            await call()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) * 1000 for name, seconds in taken.items()}


async def _reads(target: str, echo_port: int) -> dict[str, float]:
    async with AsyncClient(target, namespace="reads") as client:
        channels = [f"channel-{number:04}" for number in range(UNREAD_CHANNELS)]
        await asyncio.gather(*(client.channels.create(one) for one in channels))
        await asyncio.gather(*(client.memberships.join(one, "reader") for one in channels))
        posts = [client.messages.post(channels[0], "writer", bytes(100)) for _ in range(SETTING_UP)]
        message_id = (await asyncio.gather(*posts))[0].message_id
        get_channel: Any = client.stub(ChannelServiceStub).GetChannel
        get_message: Any = client.stub(MessageServiceStub).GetMessage
        by_name = GetChannelRequest(channel_id=channels[0])
        by_id = GetMessageRequest(channel_id=channels[0], message_id=message_id)
        metadata = client.metadata

        async def first_page() -> None:
            pager = client.messages.list(channels[0], page_size=LIST_ITEMS)
            assert len(await anext(pager.pages())) == LIST_ITEMS

        async def unread() -> None:
            assert len([one async for one in client.read_markers.list("reader")]) == len(channels)

        async with grpc.aio.insecure_channel(f"127.0.0.1:{echo_port}") as echo:
            call: Any = echo.unary_unary("/bench.Echo/Unary")
            return await _p50s_ms(
                {
                    "echo_ms": lambda: call(bytes(40)),
                    "get_channel_ms": lambda: get_channel(by_name, metadata=metadata),
                    "get_message_ms": lambda: get_message(by_id, metadata=metadata),
                    "list_100_ms": first_page,
                    "unread_200_ms": unread,
                }
            )


def _read_targets(reads: dict[str, float]) -> list[Target]:
    echo = reads["echo_ms"]
    return [
        Target("P10", "get channel to echo", "at most", 1.3, reads["get_channel_ms"] / echo),
        Target("P10", "get message to echo", "at most", 1.3, reads["get_message_ms"] / echo),
        Target("P10", "list 100", "at most", 5, reads["list_100_ms"], "ms"),
        Target("P10", "unread of 200 channels", "at most", 5, reads["unread_200_ms"], "ms"),
    ]


async def _pools(target: str) -> dict[str, float]:
    async with AsyncClient(target, namespace="pools") as setup:
        await setup.pools.create("numbers", [range(1, 2 * POOL_RESERVATIONS + 1)])
        await setup.pools.create("listed", [range(1, POOL_LISTED + 1)])
        clients = [AsyncClient(target, namespace="pools") for _ in range(POOL_CLIENTS)]
        await asyncio.gather(*(one.operations.server_info() for one in clients))
        each = POOL_RESERVATIONS // POOL_CLIENTS
        began = time.perf_counter()
        taken = await asyncio.gather(
            *(
                client.reservations.reserve("numbers", f"client-{number}", str(turn))
                for turn in range(each)
                for number, client in enumerate(clients)
            )
        )
        seconds = time.perf_counter() - began
        assert len({one.number for one in taken}) == POOL_RESERVATIONS
        await asyncio.gather(*(one.close() for one in clients))
        await asyncio.gather(
            *(setup.reservations.reserve("listed", "owner", str(n)) for n in range(POOL_LISTED))
        )

        async def listed() -> None:
            pager = setup.reservations.list("listed", page_size=POOL_LISTED)
            assert len([one async for one in pager]) == POOL_LISTED

        return {"reserve_seconds": seconds, **await _p50s_ms({"list_ms": listed}, 50)}


def _own_load(
    servers: Servers, namespace: str, seconds: float, shape: dict[str, int]
) -> LoadResult:
    spec: DriverSpec = driver_of(SDK, servers.facts(SDK), namespace)
    load = Load(prefix=namespace, seconds=seconds, **shape)
    return run_load(spec, load)


def _neighbour(servers: Servers, seconds: float) -> dict[str, float]:
    seconds = max(seconds, 1.5)
    alone = _own_load(servers, "quiet-alone", seconds, QUIET)
    with ThreadPoolExecutor() as pool:
        noise = pool.submit(_own_load, servers, "noisy", seconds + 2, NOISY)
        beside = pool.submit(_own_load, servers, "quiet-beside", seconds, QUIET).result()
        noisy = noise.result()
    return {
        "p99_alone_ms": alone.p99_ms,
        "p99_beside_noise_ms": beside.p99_ms,
        "noisy_posts_per_second": noisy.posts_per_second,
    }


def _watch_targets(watchers: dict[str, Any]) -> list[Target]:
    return [
        Target("P9", "watchers that miss an event", "at most", 0, watchers["incomplete"], ""),
        Target(
            "P9",
            "writer's p99, with watchers to without",
            "at most",
            1.5,
            watchers["p99_watched_ms"] / watchers["p99_alone_ms"],
            detail=f"{watchers['p99_alone_ms']:.2f} ms without",
        ),
    ]
