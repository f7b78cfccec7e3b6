"""The handlers of the service without gRPC: bytes in, bytes out, one step at a time.

Everything between the wire and the journal is the real thing, and nothing runs between two steps
but what the test asks for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
from google.rpc import status_pb2

from gapless.metadata import NAMESPACE_KEY
from gapless_server.core.paging import PageLimits
from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.journal.port import JournalStore
from gapless_server.rpc.commands import CommandServicer, PipelineLimits
from gapless_server.rpc.events import EventServicer, WatchLimits
from gapless_server.rpc.loop_gauge import LoopGauge
from gapless_server.rpc.operations import OperationsServicer
from gapless_server.rpc.unary import kind_handlers
from gapless_server.writer.clock import Clock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces
from tests.writer.harness import KERNEL

Metadata = tuple[tuple[str, str | bytes], ...]
NAMESPACE = "default"
_DETAILS_KEY = "grpc-status-details-bin"


class CallEnded(Exception):
    """A call that the service ended with a status."""

    def __init__(self, code: grpc.StatusCode, text: str, status: status_pb2.Status) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.status = status


class CallContext:
    """What gRPC gives a handler of a call."""

    def __init__(self, metadata: Metadata = (), connection: str = "ipv4:127.0.0.1:1") -> None:
        self._metadata = metadata
        self._connection = connection
        self._callbacks: list[Callable[[object], None]] = []

    def peer(self) -> str:
        return self._connection

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        """Does what gRPC does once the response is sent, or the call has ended without."""
        for callback in self._callbacks:
            callback(self)

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    async def abort(self, code: grpc.StatusCode, text: str, trailers: Any) -> NoReturn:
        status = status_pb2.Status.FromString(dict(trailers)[_DETAILS_KEY])
        raise CallEnded(code, text, status)


class _CallDetails:
    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = method


class InProcessService:
    """The service of one kernel and journal, without gRPC and without a disk."""

    def __init__(
        self,
        store: JournalStore | None = None,
        clock: Clock | None = None,
        limits: WriterLimits | None = None,
    ) -> None:
        clock = clock or ManualClock()
        self.faults: list[str] = []
        self.kernel = KERNEL
        self.namespaces = Namespaces(
            self.kernel,
            store or MemoryJournalStore(),
            clock,
            limits or WriterLimits(min_position_seconds_max=0.01),
            NamespaceLimits(),
            lambda name, error: self.faults.append(f"{name}: {error!r}"),
        )
        pages = PageLimits()
        commands = CommandServicer(self.namespaces, PipelineLimits())
        events = EventServicer(self.namespaces, clock, WatchLimits(), pages)
        operations = OperationsServicer(self.namespaces, clock, pages, "test", 2, LoopGauge())
        self._handlers: Iterable[Any] = [
            *kind_handlers(self.namespaces, pages),
            commands.handlers(),
            events.handlers(),
            operations.handlers(),
        ]

    async def unary(self, method: str, data: bytes, metadata: Metadata = ()) -> bytes:
        """Calls a unary method, for example "ChannelService/GetChannel". Raises CallEnded."""
        answer: bytes = await self._handler(method).unary_unary(data, CallContext(metadata))
        return answer

    def watch(self, data: bytes, metadata: Metadata = ()) -> AsyncIterator[bytes]:
        """Opens a watch; it goes on whenever it is asked for more."""
        handler = self._handler("EventService/Watch")
        responses: AsyncIterator[bytes] = handler.unary_stream(data, CallContext(metadata))
        return responses

    def pipeline(
        self, frames: AsyncIterator[bytes], metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        """Opens a stream of frames."""
        handler = self._handler("CommandService/Pipeline")
        responses: AsyncIterator[bytes] = handler.stream_stream(frames, CallContext(metadata))
        return responses

    def _handler(self, method: str) -> Any:
        details: Any = _CallDetails(f"/gapless.v1.{method}")
        found = (one.service(details) for one in self._handlers)
        return next(handler for handler in found if handler is not None)


@asynccontextmanager
async def in_process_service(
    store: JournalStore | None = None, limits: WriterLimits | None = None
) -> AsyncIterator[InProcessService]:
    """Gives a service, and closes its namespaces."""
    service = InProcessService(store, limits=limits)
    try:
        yield service
    finally:
        await service.namespaces.close()


def in_namespace(name: str) -> Metadata:
    """Returns the metadata of a call in a namespace."""
    return ((NAMESPACE_KEY, name),)
