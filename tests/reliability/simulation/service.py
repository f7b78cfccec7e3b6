"""One process of the service: its real rooms, composed on the simulated machine.

Everything behind the sockets is the product's: the handlers of every method, the namespaces, the
writer and the core. Only ``server.py``, which binds them to ports, is not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import grpc
from grpc.aio import AbortError

from gapless._options import PING_PATH
from gapless_server.checkpoint.port import CheckpointStore
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.paging import PageLimits
from gapless_server.rpc.commands import CommandServicer, PipelineLimits
from gapless_server.rpc.events import EventServicer, WatchLimits
from gapless_server.rpc.unary import kind_handlers
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces
from tests.reliability.simulation.disk import Disk, SimulatedStore
from tests.reliability.simulation.loop import Process, SimulatedLoop
from tests.reliability.simulation.machine import ProcessClock
from tests.reliability.simulation.network import OK, Call, Status

KERNEL = Kernel(KINDS)
NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """The settings that a world runs its services with: small, so that they matter."""

    writer: WriterLimits
    idle_seconds: float
    frames_in_flight_max: int


class _Context:
    """What a handler is given beside the request."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.status = OK

    def invocation_metadata(self) -> Any:
        """Returns what the caller sent along."""
        return self._call.metadata

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any = ()) -> NoReturn:
        """Ends the call with a status."""
        self.status = Status(code, details, tuple(trailing))
        raise AbortError


class _Details(NamedTuple):
    """What a handler is looked up by."""

    method: str
    invocation_metadata: Any = ()


class Service:
    """A process that serves."""

    def __init__(
        self,
        loop: SimulatedLoop,
        disk: Disk,
        checkpoints: CheckpointStore,
        clock: ProcessClock,
        limits: ServiceLimits,
        on_fatal: Callable[[Service], None],
    ) -> None:
        self.process = Process(loop)
        self.start_time = loop.time()
        self.faults: list[str] = []
        self._disk = disk
        self._clock = clock
        self._limits = limits
        self._on_fatal = on_fatal
        self._failed = False
        self.namespaces = Namespaces(
            KERNEL,
            SimulatedStore(disk, self.process),
            clock,
            limits.writer,
            NamespaceLimits(idle_seconds=limits.idle_seconds),
            self._fail,
            checkpoints=checkpoints,
        )
        self._answering: dict[asyncio.Task[Any], None] = {}
        self.process.start(self._close_idle_namespaces())

    def accept(self, call: Call) -> asyncio.Task[Any]:
        """Answers a call in a task."""
        task = self.process.start(self._answer(call))
        self._answering[task] = None
        task.add_done_callback(self._answering.pop, context=self.process.context)
        return task

    async def stop(self) -> None:
        """Stops in order, as ``server.py`` does."""
        await self.namespaces.drain()
        self._commands.stop()
        self._events.stop()
        if self._answering:
            await asyncio.wait(list(self._answering), timeout=1.0)
        for task in list(self._answering):
            task.cancel()
        await asyncio.sleep(0)
        await self.namespaces.close()

    async def state_digest(self) -> bytes:
        """Returns the hash of the state that is served."""
        async with self.namespaces.use(NAMESPACE) as namespace:
            return await namespace.read(lambda state: state.digest())

    @cached_property
    def _commands(self) -> CommandServicer:
        limits = PipelineLimits(frames_in_flight_max=self._limits.frames_in_flight_max)
        return CommandServicer(self.namespaces, limits)

    @cached_property
    def _events(self) -> EventServicer:
        return EventServicer(self.namespaces, self._clock, WatchLimits(), PageLimits())

    @cached_property
    def _streams(self) -> list[grpc.GenericRpcHandler]:
        return [self._commands.handlers(), self._events.handlers()]

    @cached_property
    def _kinds(self) -> list[grpc.GenericRpcHandler]:
        return kind_handlers(self.namespaces, PageLimits())

    def _handler(self, path: str) -> Any:
        """Returns the handler of a method, or None."""
        details = _Details(path)
        for handlers in self._streams:
            if found := handlers.service(details):
                return found
        if path == PING_PATH:
            return None
        # Many, and not every process is asked for one.
        return next((found for each in self._kinds if (found := each.service(details))), None)

    async def _answer(self, call: Call) -> None:
        context = _Context(call)
        try:
            await self._handle(call, context)
        except AbortError:
            pass
        except Exception as error:
            self.faults.append(f"{call.path}: {error!r}")
            context.status = Status(grpc.StatusCode.UNKNOWN, repr(error))
        call.finish(context.status)

    async def _handle(self, call: Call, context: _Context) -> None:
        handler = self._handler(call.path)
        if handler is None:
            # As gRPC answers; to the SDK, which asks only whether somebody is there, it is one.
            context.status = Status(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
        elif handler.request_streaming:
            await _respond(call, handler.stream_stream(_requests(call), context))
        else:
            data = await call.up.get()
            if handler.response_streaming:
                await _respond(call, handler.unary_stream(data, context))
            else:
                await call.respond(await handler.unary_unary(data, context))

    async def _close_idle_namespaces(self) -> None:
        while True:
            await asyncio.sleep(self._limits.idle_seconds / 4)  # simulated, as in server.py
            await self.namespaces.close_idle()

    def _fail(self, _namespace: str, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            self._disk.trace.fault("service failed", repr(error))
            self._on_fatal(self)


async def _respond(call: Call, responses: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(responses):
        async for response in responses:
            await call.respond(response)


async def _requests(call: Call) -> AsyncIterator[bytes]:
    while isinstance(item := await call.up.get(), bytes):
        yield item
