"""Reflection, as gRPC's own protocol asks for the contract, on so many streams at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from gapless_server.core.refusals import Refused
from gapless_server.rpc.status import abort
from gapless_server.rpc.streams import StreamGate

SERVICE_NAME: Final[str] = reflection.SERVICE_NAME
# Streams of reflection open at a time.
STREAMS_MAX: Final = 1000


class ReflectionServicer(reflection_pb2_grpc.ServerReflectionServicer):
    """gRPC's own servicer behind a gate: a stream is open for as long as its client likes.

    But not beyond `stop`: it would hold that up for as long as the grace lasts.
    """

    def __init__(self, service_names: Iterable[str]) -> None:
        # Its stub has another type than it has.
        self._answering: Any = reflection.aio.ReflectionServicer(service_names)
        self._gate = StreamGate("reflection", STREAMS_MAX)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends every stream."""
        self._stopping.set()

    async def ServerReflectionInfo(  # noqa: N802 - the name in the contract
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: Any
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Answers each request of a stream."""
        try:
            with self._gate:
                taken = self._until_stopped(requests)
                async for answer in self._answering.ServerReflectionInfo(taken, context):
                    yield answer
        except Refused as refusal:
            await abort(context, refusal)

    async def _until_stopped(
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest]
    ) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        stopping = asyncio.ensure_future(self._stopping.wait())
        waiting: list[asyncio.Future[Any]] = [stopping]
        try:
            while True:
                request = asyncio.ensure_future(anext(requests, None))
                waiting[1:] = [request]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if not request.done() or (found := request.result()) is None:
                    return
                yield found
        finally:
            for one in waiting:
                one.cancel()
