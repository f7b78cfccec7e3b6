"""Health, as gRPC's own protocol asks for it: of the service as a whole, whose name is empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Status = health_pb2.HealthCheckResponse

_WHOLE_SERVICE: Final = ""


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Says SERVING from `serve` to `stop`. Then whoever watches is told, and the watch ends.

    A watch that went on would hold up the stop for as long as the grace lasts.
    """

    def __init__(self) -> None:
        self._is_serving = False
        self._stopping = asyncio.Event()

    def serve(self) -> None:
        """Says SERVING from now on."""
        self._is_serving = True

    def stop(self) -> None:
        """Says NOT_SERVING from now on, and for good."""
        self._is_serving = False
        self._stopping.set()

    async def Check(  # noqa: N802 - the name in the contract
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> _Status:
        """Says how the service is now."""
        if request.service != _WHOLE_SERVICE:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no health of {request.service!r}")
        return self._now()

    async def Watch(  # noqa: N802 - the name in the contract
        self, request: health_pb2.HealthCheckRequest, _context: Any
    ) -> AsyncIterator[_Status]:
        """Says how the service is now, and once more when it stops."""
        if request.service != _WHOLE_SERVICE:
            yield _Status(status=_Status.SERVICE_UNKNOWN)
            await self._stopping.wait()
            return
        yield self._now()
        if not self._stopping.is_set():
            await self._stopping.wait()
            yield self._now()

    def _now(self) -> _Status:
        return _Status(status=_Status.SERVING if self._is_serving else _Status.NOT_SERVING)
