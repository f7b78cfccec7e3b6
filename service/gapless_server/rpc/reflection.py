"""Reflection: what a service has, for tools that do not know its contract.

What is answered is gRPC's own; here it is given bytes, and so many streams at a time. A stream is
open for as long as its client likes, but not beyond `stop`: it would hold that up for as long as
the grace lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import ServicerContext
from gapless_server.rpc.parsing import parse
from gapless_server.rpc.status import abort
from gapless_server.rpc.streams import StreamGate
from gapless_server.rpc.unary import RpcMethodHandler

SERVICE = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]

_Request = reflection_pb2.ServerReflectionRequest

# The same on the wire. gRPC for Python does not have its contract, so it is not listed.
_V1_NAME: Final = "grpc.reflection.v1.ServerReflection"

# Streams open at a time.
STREAMS_MAX: Final = 1000


class ReflectionServicer:
    """Answers ServerReflection."""

    def __init__(self, service_names: Iterable[str]) -> None:
        # Its method is an asynchronous generator, which the stubs do not say.
        self._servicer: Any = reflection.aio.ReflectionServicer(service_names)
        self._gate = StreamGate("reflection", STREAMS_MAX)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends every stream."""
        self._stopping.set()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Returns the handlers of the service, of either version."""
        methods: dict[str, RpcMethodHandler] = {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(self._info)
        }
        return [
            grpc.method_handlers_generic_handler(name, methods)
            for name in (SERVICE.full_name, _V1_NAME)
        ]

    async def _info(
        self, requests: AsyncIterator[bytes], context: ServicerContext
    ) -> AsyncIterator[bytes]:
        try:
            with self._gate:
                parsed = (parse(_Request, one) async for one in self._until_stopped(requests))
                async for response in self._servicer.ServerReflectionInfo(parsed, context):
                    yield response.SerializeToString()
        except Refused as refusal:
            await abort(context, refusal)

    async def _until_stopped(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
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
