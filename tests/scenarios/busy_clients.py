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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, Protocol

from google.protobuf.message import Message

from gapless import AsyncClient, Entry, GaplessError, Receipt
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
    # The answer without its receipt, as bytes; empty for a batch.
    answer: bytes


# What a command was answered: its receipt, and its response if it is one command alone.
Answered = tuple[Receipt, Message | None]


class Repertoire(Protocol):
    """What a client process sends; made in the process, with a name and a source of chance."""

    async def send(self, client: AsyncClient, request_id: str) -> Answered:
        """Sends one command. Raises GaplessError if it is refused."""
        ...


MakeRepertoire = Callable[[str, random.Random], Repertoire]


class ChatCommands:
    """Messages, replies, reactions and memberships in a few channels."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.posted: list[tuple[str, str]] = []

    async def send(self, client: AsyncClient, request_id: str) -> Answered:
        """Sends one command."""
        kind = self.chance.random()
        if kind < 0.6 or not self.posted:
            return await self.post(client, request_id)
        channel_id, message_id = self.chance.choice(self.posted)
        if kind < 0.8:
            return both(
                await client.threads.reply(
                    channel_id, message_id, self.name, "reply", request_id=request_id
                )
            )
        if kind < 0.9:
            return both(
                await client.reactions.toggle(
                    channel_id, message_id, self.name, EMOJI, request_id=request_id
                )
            )
        return both(await client.memberships.join(channel_id, self.name, request_id=request_id))

    async def post(self, client: AsyncClient, request_id: str) -> Answered:
        """Posts a message, and remembers it."""
        channel_id = self.chance.choice(CHANNELS)
        posted = await client.messages.post(channel_id, self.name, "message", request_id=request_id)
        self.posted.append((channel_id, posted.message_id))
        return both(posted)


def both(response: Any) -> Answered:
    """Returns a response with its receipt."""
    return response.receipt, response


class Watched(NamedTuple):
    """An entry as a watch gave it."""

    position: int
    request_id: str


@dataclass
class Report:
    """What one process has to tell."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    # Request ids of commands that were refused: they must have no effect.
    refused: list[str] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    failure: str = ""


class BusyClients:
    """Processes that are at work."""

    def __init__(
        self, place: Place, count: int, seed: int, repertoire: MakeRepertoire, tasks: int
    ) -> None:
        self._running = []
        for index in range(count):
            home, away = _context.Pipe()
            process = _context.Process(
                target=_run, args=(away, place, index, seed, repertoire, tasks)
            )
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
def busy_clients(
    place: Place,
    count: int,
    seed: int,
    repertoire: MakeRepertoire = ChatCommands,
    tasks: int = TASKS,
) -> Iterator[BusyClients]:
    """Gives client processes that are at work, and ends them.

    `repertoire` is picklable: a class of a module. Each process has `tasks` commands under way.
    """
    clients = BusyClients(place, count, seed, repertoire, tasks)
    try:
        yield clients
    finally:
        clients.end()


def _run(
    away: Connection,
    place: Place,
    index: int,
    seed: int,
    repertoire: MakeRepertoire,
    tasks: int,
) -> None:
    """Runs in the process."""
    name = f"client{index}"
    commands = repertoire(name, random.Random(f"{seed} {index}"))
    try:
        asyncio.run(_Busy(away, place, name, commands, tasks).run())
    except BaseException:
        away.send(Report(failure=traceback.format_exc()))


class _Busy:
    """One process at work."""

    def __init__(
        self, away: Connection, place: Place, name: str, commands: Repertoire, tasks: int
    ) -> None:
        self._away = away
        self._place = place
        self._name = name
        self._commands = commands
        self._tasks = tasks
        self._report = Report()
        self._stopping = False

    async def run(self) -> None:
        async with AsyncClient(
            self._place.address, namespace=self._place.namespace, timeout=math.inf
        ) as client:
            watching = asyncio.create_task(self._watch(client))
            workers = [asyncio.create_task(self._work(client, n)) for n in range(self._tasks)]
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
            request_id = f"{self._name}-{task}-{number}"
            try:
                receipt, response = await self._commands.send(client, request_id)
            except GaplessError:
                self._report.refused.append(request_id)
            else:
                self._report.acknowledged.append(_acknowledged(request_id, receipt, response))

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


def _acknowledged(request_id: str, receipt: Receipt, response: Message | None) -> Acknowledged:
    answer = b"" if response is None else without_receipt(response)
    return Acknowledged(request_id, receipt.position, receipt.replayed, receipt.changed, answer)


def without_receipt(response: Message) -> bytes:
    """Returns what a response says beside its receipt, as bytes."""
    rest = type(response)()
    rest.CopyFrom(response)
    rest.ClearField("receipt")
    return rest.SerializeToString(deterministic=True)
