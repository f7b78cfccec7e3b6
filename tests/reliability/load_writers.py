"""Processes that write as fast as they can until they are told to stop."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Final

from gapless import AsyncClient, GaplessError
from tests.scenarios.processes import Place

CHANNELS: Final = ("red", "green", "blue")
CONFIG_PREFIX: Final = "app/"
BODY: Final = "x" * 100

# So many commands of a process are under way at a time.
TASKS: Final = 32
# After so many commands a process slows down: over a line that is cut again and again nobody could
# ever catch up with the full load.
FULL_LOAD_COMMANDS: Final = 5_000
SLOW_SECONDS: Final = 0.2
# A hang must end the test.
SECONDS_MAX: Final = 120.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["gapless", "tests.reliability.load_writers"])


async def prepare(client: AsyncClient) -> None:
    """Makes what is written to."""
    for channel_id in CHANNELS:
        await client.channels.create(channel_id)


@asynccontextmanager
async def load_writers(place: Place, count: int) -> AsyncIterator[None]:
    """Lets processes write while the context lasts; fails if one of them failed."""
    running = []
    try:
        for index in range(count):
            home, away = _context.Pipe()
            process = _context.Process(target=_run, args=(away, place, index))
            process.start()
            away.close()
            running.append((process, home))
        yield
        for _process, home in running:
            home.send(None)
        words = (asyncio.to_thread(_last_word, home) for _process, home in running)
        failures = await asyncio.gather(*words)
    finally:
        for process, home in running:
            home.close()
            process.kill()
            process.join()
            process.close()
    assert not any(failures), failures


def _last_word(home: Connection) -> str:
    if not home.poll(SECONDS_MAX):
        return f"a writer did not stop within {SECONDS_MAX} seconds"
    failure: str = home.recv()
    return failure


def _run(away: Connection, place: Place, index: int) -> None:
    """Runs in the process."""
    try:
        asyncio.run(_write(away, place, index))
        away.send("")
    except BaseException:
        away.send(traceback.format_exc())


async def _write(away: Connection, place: Place, index: int) -> None:
    stopping = asyncio.Event()

    async def work(client: AsyncClient, task: int) -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            await _command(client, f"w{index}-{task}", number)
            if number > FULL_LOAD_COMMANDS / TASKS:
                # Not to wait for something: to be slow.
                await asyncio.sleep(SLOW_SECONDS)

    async with AsyncClient(place.address, namespace=place.namespace, timeout=math.inf) as client:
        workers = [asyncio.create_task(work(client, task)) for task in range(TASKS)]
        await asyncio.to_thread(away.recv)
        stopping.set()
        await asyncio.gather(*workers)


async def _command(client: AsyncClient, name: str, number: int) -> None:
    """Mostly posts; now and then what has other events, no event, or an end by itself."""
    match number % 20:
        case 5:
            await client.config.set(f"{CONFIG_PREFIX}{name}", str(number))
        case 10:
            await client.memberships.join(CHANNELS[0], name)  # a member already, from the 2nd on
        case 15:
            try:
                await client.locks.acquire(name, name, ttl=1)
            except GaplessError as refusal:
                if refusal.reason != "LOCK_HELD":
                    raise
        case _:
            await client.messages.post(CHANNELS[number % 3], name, BODY)
