"""Health, as gRPC's own protocol asks for it: of the service as a whole, whose name is empty.

Each gRPC service in it is as well as the whole is, and can be asked for by its own name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import ServicerContext
from gapless_server.rpc.parsing import parse
from gapless_server.rpc.status import abort
from gapless_server.rpc.streams import StreamGate

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]

_Request = health_pb2.HealthCheckRequest
_Status = health_pb2.HealthCheckResponse

_WHOLE_SERVICE: Final = ""
# Watches of health open at a time.
WATCHES_MAX: Final = 1000
# How much of a name an error shows.
NAME_CHARACTERS_MAX: Final = 140


class HealthServicer:
    """Says SERVING from `serve` to `stop`. Then whoever watches is told, and the watch ends.

    A watch that went on would hold up the stop for as long as the grace lasts.
    """

    def __init__(self, service_names: Iterable[str]) -> None:
        self._names = {_WHOLE_SERVICE, *service_names}
        self._gate = StreamGate("health", WATCHES_MAX)
        self._is_serving = False
        self._stopping = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the handlers of the service."""
        return grpc.method_handlers_generic_handler(
            SERVICE.full_name,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            },
        )

    def serve(self) -> None:
        """Says SERVING from now on."""
        self._is_serving = True

    def stop(self) -> None:
        """Says NOT_SERVING from now on, and for good."""
        self._is_serving = False
        self._stopping.set()

    async def _check(self, data: bytes, context: ServicerContext) -> bytes:
        """Says how the service is now."""
        try:
            name = parse(_Request, data).service
        except Refused as refusal:
            await abort(context, refusal)
        if name not in self._names:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"there is no service {name[:NAME_CHARACTERS_MAX]!r} here;"
                " the empty name asks for all of them",
            )
        return self._now()

    async def _watch(self, data: bytes, context: ServicerContext) -> AsyncIterator[bytes]:
        """Says how the service is now, and once more when it stops."""
        try:
            name = parse(_Request, data).service
            with self._gate:
                if name not in self._names:
                    yield _Status(status=_Status.SERVICE_UNKNOWN).SerializeToString()
                    await self._stopping.wait()
                    return
                yield self._now()
                if not self._stopping.is_set():
                    await self._stopping.wait()
                    yield self._now()
        except Refused as refusal:
            await abort(context, refusal)

    def _now(self) -> bytes:
        status = _Status.SERVING if self._is_serving else _Status.NOT_SERVING
        return _Status(status=status).SerializeToString()
