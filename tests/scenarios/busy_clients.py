"""Client processes that send commands and watch the log until they are told to stop.

They go on by themselves when the service is killed and started again, and tell at the end what
was acknowledged to them and what their watches have shown.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from gapless import AsyncClient, Entry, Receipt
from tests.scenarios.processes import Place

CHANNELS: Final = ("red", "green", "blue")
EMOJI: Final = "thumbsup"
# So many commands of a process are under way at a time.
TASKS: Final = 3
# For what takes seconds at most; a hang must end the test.
SECONDS_MAX: Final = 120.0

_context = multiprocessing.get_context("forkserver")


class Acknowledged(NamedTuple):
    """A command that was answered: where it was committed, and what the answer said it did."""

    request_id: str
    position: int
    replayed: bool
    changed: bool
    # The numbers and names that the event must have: those of the answer, by field.
    said: tuple[tuple[str, str | int], ...]


class Watched(NamedTuple):
    """An entry as a watch gave it."""

    position: int
    request_id: str


@dataclass
class Report:
    """What one process has to tell."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    failure: str = ""


class BusyClients:
    """Processes that are at work."""

    def __init__(self, place: Place, count: int, seed: int) -> None:
        self._running = []
        for index in range(count):
            home, away = _context.Pipe()
            process = _context.Process(target=_run, args=(away, place, index, seed))
            process.start()
            away.close()
            self._running.append((process, home))

    def stop(self) -> None:
        """Tells every process to send no more commands."""
        for _process, home in self._running:
            home.send(None)

    def reports(self, head_position: int) -> list[Report]:
        """Lets every watch go on up to a position, and returns what each process has to tell."""
        for _process, home in self._running:
            home.send(head_position)
        return [self._report(home) for _process, home in self._running]

    def settled(self) -> None:
        """Returns once every command has its answer."""
        for _process, home in self._running:
            assert self._report(home).failure == "", "a client process failed"

    def _report(self, home: Connection) -> Report:
        if not home.poll(SECONDS_MAX):
            return Report(failure=f"no word of a client process for {SECONDS_MAX} seconds")
        report: Report = home.recv()
        return report

    def end(self) -> None:
        """Ends the processes, whatever they do."""
        for process, home in self._running:
            home.close()
            process.kill()
            process.join()
            process.close()


@contextmanager
def busy_clients(place: Place, count: int, seed: int) -> Iterator[BusyClients]:
    """Gives client processes that are at work, and ends them."""
    clients = BusyClients(place, count, seed)
    try:
        yield clients
    finally:
        clients.end()


def _run(away: Connection, place: Place, index: int, seed: int) -> None:
    """Runs in the process."""
    try:
        asyncio.run(_Busy(away, place, index, seed).run())
    except BaseException:
        away.send(Report(failure=traceback.format_exc()))


class _Busy:
    """One process at work."""

    def __init__(self, away: Connection, place: Place, index: int, seed: int) -> None:
        self._away = away
        self._place = place
        self._name = f"client{index}"
        self._random = random.Random(f"{seed} {index}")
        self._report = Report()
        self._stopping = False
        self._posted: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with AsyncClient(
            self._place.address, namespace=self._place.namespace, timeout=math.inf
        ) as client:
            watching = asyncio.create_task(self._watch(client))
            workers = [asyncio.create_task(self._work(client, n)) for n in range(TASKS)]
            await asyncio.to_thread(self._away.recv)
            self._stopping = True
            await asyncio.gather(*workers)
            self._away.send(Report())
            head_position: int = await asyncio.to_thread(self._away.recv)
            await self._watched_up_to(head_position, watching)
            self._away.send(self._report)

    async def _work(self, client: AsyncClient, task: int) -> None:
        number = 0
        while not self._stopping:
            number += 1
            acknowledged = await self._command(client, f"{self._name}-{task}-{number}")
            self._report.acknowledged.append(acknowledged)

    async def _command(self, client: AsyncClient, request_id: str) -> Acknowledged:
        kind = self._random.random()
        if kind < 0.6 or not self._posted:
            return await self._post(client, request_id)
        channel_id, message_id = self._random.choice(self._posted)
        if kind < 0.8:
            reply = await client.threads.reply(
                channel_id, message_id, self._name, "reply", request_id=request_id
            )
            said = (("message_id", reply.message_id), ("thread_sequence", reply.thread_sequence))
            return _acknowledged(request_id, reply.receipt, *said)
        if kind < 0.9:
            toggled = await client.reactions.toggle(
                channel_id, message_id, self._name, EMOJI, request_id=request_id
            )
            return _acknowledged(request_id, toggled.receipt, ("message_id", message_id))
        joined = await client.memberships.join(channel_id, self._name, request_id=request_id)
        return _acknowledged(request_id, joined.receipt, ("user_id", self._name))

    async def _post(self, client: AsyncClient, request_id: str) -> Acknowledged:
        channel_id = self._random.choice(CHANNELS)
        posted = await client.messages.post(
            channel_id, self._name, "message", request_id=request_id
        )
        self._posted.append((channel_id, posted.message_id))
        said = (("message_id", posted.message_id), ("sequence", posted.sequence))
        return _acknowledged(request_id, posted.receipt, *said)

    async def _watch(self, client: AsyncClient) -> None:
        async with client.events.watch(from_start=True) as watch:
            async for item in watch:
                if isinstance(item, Entry):
                    self._report.watched.append(Watched(item.position, item.request_id))

    async def _watched_up_to(self, head_position: int, watching: asyncio.Task[None]) -> None:
        """Waits until the watch has come so far, or has failed."""
        async with asyncio.timeout(SECONDS_MAX):
            while not self._report.watched or self._report.watched[-1].position < head_position:
                if watching.done():
                    watching.result()
                await asyncio.sleep(0)
        watching.cancel()


def _acknowledged(request_id: str, receipt: Receipt, *said: tuple[str, str | int]) -> Acknowledged:
    return Acknowledged(request_id, receipt.position, receipt.replayed, receipt.changed, said)
