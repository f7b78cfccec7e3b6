"""The clients: the SDK's own, which send commands of every kind, read, and watch."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Awaitable
from typing import Any, Final

import grpc

from gapless import AsyncClient, Entry, GaplessError
from gapless._async._connection import Connection
from gapless._options import CallOptions, ConnectionOptions
from gapless.errors import CursorReset
from tests.reliability.simulation import commands
from tests.reliability.simulation.channel import SimulatedChannel
from tests.reliability.simulation.disk import Disk
from tests.reliability.simulation.network import Link, Network
from tests.reliability.simulation.records import Command, HeadRead, Records, Watched

THINK_SECONDS_MEAN: Final = 0.6
# Some callers have little patience; what they get no answer to they send again later.
IMPATIENT_PART: Final = 0.15
IMPATIENT_SECONDS_MAX: Final = 2.0
# Some send the same command twice at once.
TWINS_PART: Final = 0.04
SET_UP: Final = "set up"
READS_PART: Final = 0.25

# What a caller may be told in earnest; anything else is a fault of ours.
_FAULTS: Final = frozenset({"INTERNAL_FAULT", "LOG_CORRUPT", "MALFORMED_MESSAGE", "INVALID_FIELD"})

# After these the same is sent again; an error of gRPC itself that is no such one is a fault.
_PASSING: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)


class _Client(AsyncClient):
    """The SDK's client on the simulated network."""

    def __init__(self, channel: Any, caller: str) -> None:
        connection = Connection(ConnectionOptions("simulated", None, {}), lambda _options: channel)
        self._set_up(connection, CallOptions(None, caller, math.inf, None, min_position=None))


class Worker:
    """One client: tasks that send commands, and what they have learned so far."""

    def __init__(
        self, name: str, network: Network, disk: Disk, records: Records, chance: random.Random
    ) -> None:
        self.name = name
        self.link = Link(network)
        self.client = _Client(SimulatedChannel(network, self.link), name)
        self.chance = chance
        self.known = commands.Known(name)
        self._loop = network.loop
        self._trace = network.trace
        self._disk = disk
        self._records = records
        self._numbers = itertools.count(1)

    async def work(self, count: int) -> None:
        """Sends so many commands, one after another, and reads in between."""
        for _ in range(count):
            # simulated: a caller that thinks
            await asyncio.sleep(self.chance.expovariate(1 / THINK_SECONDS_MEAN))
            if self.chance.random() < READS_PART:
                await self.read_head(self.chance.choice(commands.CHANNELS))
            kind, send = commands.draw(self.chance, self.known)
            request_id = f"{self.name}-{next(self._numbers):04}"
            twins = 2 if self.chance.random() < TWINS_PART else 1
            await asyncio.gather(*[self._command(kind, send, request_id) for _ in range(twins)])

    async def set_up(self) -> None:
        """Makes what all commands need."""
        await self._command(SET_UP, commands.set_up, f"{self.name}-set-up")

    async def _command(self, kind: str, send: commands.Sending, request_id: str) -> None:
        record = self._begin(kind, request_id)
        timeout = math.inf
        if kind != SET_UP and self.chance.random() < IMPATIENT_PART:
            timeout = 0.001 + self.chance.random() * IMPATIENT_SECONDS_MAX
        while not record.has_returned:
            terms = commands.Terms(self.client, request_id, timeout)
            await self._attempt(record, send(terms))
            # Whoever has no answer sends the same again, as one who was killed would.
            timeout = math.inf

    def _begin(self, kind: str, request_id: str) -> Command:
        history = len(self._disk.histories) - 1
        record = Command(request_id, self.name, kind, self._loop.time(), history)
        self._records.commands.append(record)
        self._trace.note("call", kind, request_id)
        return record

    async def _attempt(self, record: Command, sending: Awaitable[Any]) -> None:
        try:
            record.response = await sending
            self._trace.note("answer", record.request_id, record.response.receipt.position)
        except GaplessError as error:
            self._trace.note("error", record.request_id, str(error), error.outcome_unknown)
            if error.outcome_unknown and (error.reason or error.code in _PASSING):
                return
            record.refusal = error
            if error.reason in _FAULTS or not (error.reason or error.code in _PASSING):
                self._records.faults.append(f"{record.kind} {record.request_id}: {error!r}")
        record.last_history = len(self._disk.histories) - 1
        record.returned = self._loop.time()

    async def read_head(self, channel_id: str) -> None:
        """Reads where a channel stands."""
        invoked, history = self._loop.time(), len(self._disk.histories) - 1
        channel = await self.client.channels.get(channel_id)
        self._records.heads.append(
            HeadRead(
                channel_id, channel.head_sequence, invoked, self._loop.time(),
                history, len(self._disk.histories) - 1,
            )
        )  # fmt: skip

    async def watch(self, channel_id: str | None, slowness: float, reopens: float) -> None:
        """Watches the log from its start, by one watch after another, for ever."""
        channels = None if channel_id is None else [channel_id]
        seen, cursor = self._new_watched(channel_id), None
        while True:
            begin: dict[str, Any] = {"cursor": cursor} if cursor else {"from_start": True}
            try:
                async with self.client.events.watch(**begin, channel_ids=channels) as watch:
                    async for item in watch:
                        cursor = item.cursor
                        if isinstance(item, Entry):
                            seen.entries.append(item.message)
                        if self.chance.random() < slowness:
                            # simulated: a watcher that takes its time
                            await asyncio.sleep(self.chance.random() * 5.0)
                        if self.chance.random() < reopens:
                            break
            except CursorReset:
                seen, cursor = self._new_watched(channel_id), None

    def _new_watched(self, channel_id: str | None) -> Watched:
        watched = Watched(self.name, len(self._disk.histories) - 1, channel_id)
        self._records.watches.append(watched)
        return watched
