"""The network between clients and the service: calls that carry messages, late, twice or never.

What gRPC promises on top of TCP holds here too: the messages of one direction of one call arrive in
order and once each, up to some point after which none arrives. Everything else may happen:

1. A message is late, by up to `LATE_SECONDS_MAX`, and so are those behind it; other calls overtake.
2. A message is lost, and its call with it. Both ends learn of that at times of their own.
3. A request is doubled: another call brings the same one, now or much later, and its answer goes
   nowhere. So requests are also reordered, and arrive long after their callers have gone.
4. All calls of a client are reset, or none gets through for a while.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import grpc

from tests.reliability.simulation.loop import Process
from tests.reliability.simulation.trace import Trace

BASE_SECONDS_MAX: Final = 0.002
LATE_SECONDS_MAX: Final = 15.0
# How long an end of a broken call may take to learn of it; keepalive finds out at last.
NOTICE_SECONDS_MAX: Final = 20.0
# So many messages of a direction that nobody has read; then the sender waits.
WINDOW_MESSAGES: Final = 4

Metadata = Sequence[tuple[str, str]]


class Status(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    details: str = ""
    trailing: tuple[tuple[str, bytes], ...] = ()


OK: Final = Status(grpc.StatusCode.OK)


class End:
    """The caller sends no more."""


END: Final = End()
Item = bytes | Status | End


class Accepting(Protocol):
    """A service that takes calls."""

    process: Process

    def accept(self, call: Call) -> asyncio.Task[Any]:
        """Answers a call in a task."""
        ...


@dataclass(slots=True)
class Weather:
    """How likely it is, for each message, that something happens to it."""

    lost: float = 0.0
    late: float = 0.0
    doubled: float = 0.0


class Pipe:
    """One direction of a call."""

    def __init__(self, network: Network) -> None:
        self._loop = network.loop
        self._context = network.context
        self._under_way: deque[Item] = deque()
        self._arrived: deque[Item] = deque()
        self._last_time = 0.0
        self._is_cut = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def send(self, item: Item, delay: float) -> None:
        """Puts an item on its way, behind those before it."""
        if self._is_cut:
            return
        self._last_time = max(self._last_time, self._loop.time() + delay)
        self._under_way.append(item)
        self._loop.call_at(self._last_time, self._arrive, context=self._context)

    def put(self, item: Item) -> None:
        """Lets an item arrive now, and nothing after it."""
        self.cut()
        self._arrived.append(item)
        _wake(self._news)

    def cut(self) -> None:
        """Loses what is under way and all that comes."""
        self._is_cut = True
        self._under_way.clear()
        _wake(self._room)

    async def get(self) -> Item:
        """Returns the next item, once it is there."""
        while not self._arrived:
            self._news = self._loop.create_future()
            await self._news
        _wake(self._room)
        return self._arrived.popleft()

    async def room(self) -> None:
        """Returns once another item may be sent."""
        while len(self._arrived) + len(self._under_way) >= WINDOW_MESSAGES and not self._is_cut:
            self._room = self._loop.create_future()
            await self._room

    def _arrive(self) -> None:
        if self._under_way:
            self._arrived.append(self._under_way.popleft())
            _wake(self._news)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class Call:
    """A call under way: what its two ends and the network know of it."""

    def __init__(self, network: Network, link: Link, path: str, metadata: Metadata) -> None:
        self.network = network
        self.link = link
        self.path = path
        self.metadata = metadata
        self.up = Pipe(network)
        self.down = Pipe(network)
        self.is_over = False
        self._serving: asyncio.Task[Any] | None = None
        self._process: Process | None = None

    def connect(self) -> None:
        """Reaches the service, or fails."""
        service = self.network.service
        if self.is_over:
            return
        if service is None or not self.link.is_up:
            self.end(Status(grpc.StatusCode.UNAVAILABLE, "failed to connect"))
            return
        self.network.calls[self] = None
        self._process = service.process
        self._serving = service.accept(self)

    def is_served_by(self, process: Process) -> bool:
        """Says whether a process has it."""
        return self._process is process

    async def respond(self, item: bytes) -> None:
        """Sends an answer, once there is room for it."""
        await self.down.room()
        self.network.carry(self, item, self.down)

    def finish(self, status: Status) -> None:
        """Ends it from the side of the service."""
        self.network.calls.pop(self, None)
        self._serving = None
        self.network.carry(self, status, self.down)

    def lose(self) -> None:
        """Breaks it: nothing arrives any more, and both ends learn of that some time."""
        self.up.cut()
        self.down.cut()
        self.network.later(self.end, Status(grpc.StatusCode.UNAVAILABLE, "connection lost"))
        self.network.later(self.give_up)

    def end(self, status: Status) -> None:
        """Tells the caller how it ended, unless it knows."""
        if not self.is_over:
            self.is_over = True
            self.down.put(status)

    def give_up(self) -> None:
        """Cancels it in the service."""
        self.network.calls.pop(self, None)
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()


class Link:
    """All that one client has with the service."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.is_up = True

    def reset(self) -> None:
        """Breaks every call."""
        for call in [call for call in self._network.calls if call.link is self]:
            call.lose()


class Network:
    """See the head of this file."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chance: random.Random, trace: Trace
    ) -> None:
        self.loop = loop
        self.trace = trace
        self.weather = Weather()
        self.service: Accepting | None = None
        # In the order in which they began.
        self.calls: dict[Call, None] = {}
        # All that clients sent; twice what was doubled.
        self.requests: list[bytes] = []
        # Of no process: what is under way arrives, whoever pauses.
        self.context = copy_context()
        self._chance = chance

    def call(self, link: Link, path: str, metadata: Metadata) -> Call:
        """Begins a call."""
        call = Call(self, link, path, metadata)
        self._after(self._base_delay(), call.connect)
        return call

    def carry(self, call: Call, item: Item, pipe: Pipe) -> None:
        """Brings an item to the other end of a call, or not."""
        dice, delay, weather = self._chance.random(), self._base_delay(), self.weather
        size = len(item) if isinstance(item, bytes) else -1
        if size > 0 and pipe is call.up:
            self.requests.append(item)
        if dice < weather.lost:
            self.trace.fault("frame lost", call.path, size)
            call.lose()
            return
        if dice < weather.lost + weather.late:
            delay += self._chance.random() * LATE_SECONDS_MAX
            self.trace.fault("frame late", call.path, size, delay)
        elif dice > 1 - weather.doubled and pipe is call.up and isinstance(item, bytes):
            self._double(call, item)
        self.trace.note("frame", call.path, size)
        pipe.send(item, delay)

    def later(self, action: Any, *arguments: Any) -> None:
        """Does something that takes the ends of a broken call some time to notice."""
        # Mostly soon: a connection that is refused or reset says so.
        delay = self._chance.random() ** 6 * NOTICE_SECONDS_MAX
        self._after(delay, action, *arguments)

    def service_ended(self, process: Process) -> None:
        """Breaks every call that a process had; what it sent before may still arrive."""
        for call in [call for call in self.calls if call.is_served_by(process)]:
            self.calls.pop(call)
            if self._chance.random() < 0.5:
                call.down.cut()
            self._after(
                self._base_delay(), call.end, Status(grpc.StatusCode.UNAVAILABLE, "reset by peer")
            )

    def _double(self, call: Call, item: bytes) -> None:
        if call.path.endswith("/Watch"):
            return  # a second watch that nobody reads does nothing but stand there
        delay = self._chance.random() ** 3 * LATE_SECONDS_MAX
        self.trace.fault("frame doubled", call.path, len(item), delay)
        self.requests.append(item)
        twin = Call(self, call.link, call.path, call.metadata)
        twin.up.send(item, delay)
        twin.up.send(END, delay)
        self._after(delay, twin.connect)

    def _base_delay(self) -> float:
        return self._chance.random() * BASE_SECONDS_MAX

    def _after(self, delay: float, action: Any, *arguments: Any) -> None:
        self.loop.call_at(self.loop.time() + delay, action, *arguments, context=self.context)
