"""Watches that cross from catching up to live, under load, breaks and restarts: no hole (G6).

In every round watchers begin at random places of a log that is written at full load: some read
slowly and fall out of the feed, which is small here, some give up and go on by cursor, some sit
behind a proxy that cuts; and the service is killed or restarted in the middle.
"""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gapless import AsyncClient, Entry
from gapless.testing import SubprocessServer
from tests.reliability.harness import Run, harness
from tests.reliability.hostile_tcp import hostile_tcp_proxy
from tests.reliability.load_writers import load_writers, prepare
from tests.reliability.seam_watchers import SeamWatcher, Watched, expected
from tests.reliability.stored_logs import breaches, stored_entries
from tests.scenarios.processes import Place
from tests.sdk.colours import Colour, make_client

WRITERS = 2
WATCHERS = 12
# So many are there before the first watcher begins.
ENTRIES_BEFORE = 1_000
# A cut after so many bytes of a connection, on average.
CUT_BYTES = 500_000.0
# No more than the newest round: who looks a moment later reads from the disk.
FEED_BYTES = 4 * 1024

PROMISED = ["holes", "doubles", "wrong_entries", "breaches"]


async def first_entries(client: AsyncClient) -> list[Entry]:
    """Returns the first entries, once they are there, with cursors to begin at."""
    entries: list[Entry] = []
    async with client.events.watch(from_start=True) as watch:
        async for item in watch:
            if isinstance(item, Entry):
                entries.append(item)
            if len(entries) == ENTRIES_BEFORE:
                break
    return entries


async def cross(
    run: Run, server: SubprocessServer, namespace: str, chance: random.Random
) -> list[Watched]:
    """Runs one round of watchers, with an end of the service in between."""
    async with AsyncExitStack() as stack:

        async def connect(address: str, colour: Colour = "async") -> AsyncClient:
            client = make_client(colour, address, namespace=namespace, timeout=math.inf)
            stack.push_async_callback(client.close)
            return client

        plain = await connect(server.address)
        await prepare(plain)
        place = Place(server.address, namespace)
        await stack.enter_async_context(load_writers(place, WRITERS))
        cursors = await first_entries(plain)
        proxy = await stack.enter_async_context(
            hostile_tcp_proxy(server.address, chance, CUT_BYTES)
        )
        ways = [
            plain,
            await connect(server.address),
            await connect(proxy.address),
            # A thread that waits for an item can not be told to stop waiting.
            await connect(proxy.address, "blocking"),
        ]
        watchers = [
            SeamWatcher(f"{namespace}/{n}", ways[n % 4], cursors, chance, may_be_fickle=n % 4 != 3)
            for n in range(WATCHERS)
        ]
        async with asyncio.TaskGroup() as tasks:
            for watcher in watchers:
                tasks.create_task(watcher.run())
            # Not to wait for something: to come at any moment.
            await asyncio.sleep(chance.uniform(0, 0.5))
            await end_and_start(run, server, chance)
        run.count("cuts", sum(proxy.faults.values()))
    return [watcher.watched for watcher in watchers]


async def end_and_start(run: Run, server: SubprocessServer, chance: random.Random) -> None:
    if chance.random() < 0.5:
        run.count("restarts")
        await asyncio.to_thread(server.restart)
    else:
        run.count("kills")
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)


def compare(run: Run, data: Path, namespace: str, all_watched: list[Watched]) -> None:
    """Holds what was given against the log on the disk."""
    log = list(stored_entries(data, namespace))
    run.count("entries", len(log))
    for watched in all_watched:
        run.count("crossings", watched.crossings)
        run.count("entries_watched", len(watched.shown))
        wanted = list(expected(log, watched))
        if watched.shown == wanted:
            continue
        given = [shown.position for shown in watched.shown]
        missing = {shown.position for shown in wanted} - set(given)
        told = f"{watched.name} ({watched.filter_name}, after {watched.after})"
        if missing:
            run.violation("holes", f"{told} was not given {sorted(missing)[:10]}", len(missing))
        if len(set(given)) < len(given):
            run.violation("doubles", f"{told} was given some twice", len(given) - len(set(given)))
        if not missing and len(set(given)) == len(given):
            run.violation("wrong_entries", f"{told} was given others, or in another order")
    for breach in breaches(data, namespace):
        run.violation("breaches", breach)


@pytest.mark.timeout(0)
def test_g6_watches_that_cross_from_catching_up_to_live_have_no_hole_and_no_double(
    tmp_path: Path,
) -> None:
    with harness("watch_seams", small=50, full=1_000, promised=PROMISED) as run:
        crossed: dict[str, list[Watched]] = {}
        with SubprocessServer(
            directory=tmp_path, feed_bytes_max=FEED_BYTES, heartbeat_seconds=0.2
        ) as server:
            while sum(w.crossings for watched in crossed.values() for w in watched) < run.times:
                namespace = f"seams-{len(crossed)}"
                chance = random.Random(f"{run.seed} {namespace}")
                crossed[namespace] = asyncio.run(cross(run, server, namespace, chance))
        for namespace, all_watched in crossed.items():
            compare(run, server.settings.data, namespace, all_watched)
