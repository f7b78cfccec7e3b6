"""The channel that the SDK is given: gRPC's interface, on the simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from grpc.aio import Metadata as GrpcMetadata

from tests.reliability.simulation.network import END, OK, Call, Link, Metadata, Network, Status

Serializer = Callable[[Any], bytes] | None
Deserializer = Callable[[bytes], Any] | None

CANCELLED = Status(grpc.StatusCode.CANCELLED, "cancelled by the caller")


class ClientCall:
    """The end of a call that its caller holds; behaves as those of ``grpc.aio``."""

    def __init__(self, call: Call, deserialize: Deserializer) -> None:
        self._call = call
        self._deserialize = deserialize
        self._status: Status | None = None

    def done(self) -> bool:
        """Says whether it is known to be over."""
        return self._call.is_over

    async def write(self, data: bytes) -> None:
        """Sends a message."""
        if self._call.is_over:
            raise asyncio.InvalidStateError("the call is over")
        await self._call.up.room()
        self._call.network.carry(self._call, data, self._call.up)

    async def done_writing(self) -> None:
        """Says that no more will come."""
        if not self._call.is_over:
            self._call.network.carry(self._call, END, self._call.up)

    async def read(self) -> Any:
        """Returns the next answer, or EOF. Raises AioRpcError; CancelledError after `cancel`."""
        if self._status is None:
            item = await self._call.down.get()
            if isinstance(item, bytes):
                return item if self._deserialize is None else self._deserialize(item)
            assert isinstance(item, Status)
            self._status = item
            self._call.is_over = True
        if self._status is OK:
            return grpc.aio.EOF
        if self._status is CANCELLED:
            raise asyncio.CancelledError
        trailing = GrpcMetadata(*self._status.trailing)
        raise grpc.aio.AioRpcError(
            self._status.code, GrpcMetadata(), trailing, self._status.details
        )

    def cancel(self) -> bool:
        """Gives the call up."""
        return self.give_up(CANCELLED)

    def give_up(self, status: Status) -> bool:
        """Ends the call here; the service hears of it some time."""
        if self._call.is_over:
            return False
        self._call.end(status)
        self._call.network.later(self._call.give_up)
        return True


class SimulatedChannel:
    """What the SDK uses of ``grpc.aio.Channel``."""

    def __init__(self, network: Network, link: Link) -> None:
        self._network = network
        self._link = link

    def unary_unary(
        self,
        path: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
    ) -> Callable[..., Awaitable[Any]]:
        """Returns a method that takes a message and gives one."""

        async def method(request: Any, *, timeout: float | None = None, metadata: Metadata) -> Any:
            call = self._begin(path, metadata, response_deserializer)
            await call.write(_serialized(request, request_serializer))
            await call.done_writing()
            expired = Status(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
            loop = self._network.loop
            timer = None if timeout is None else loop.call_later(timeout, call.give_up, expired)
            try:
                response = await call.read()
                await call.read()
            finally:
                call.cancel()
                if timer is not None:
                    timer.cancel()
            return response

        return method

    def unary_stream(
        self,
        path: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
    ) -> Callable[..., ClientCall]:
        """Returns a method that takes a message and gives many."""

        def method(request: Any, *, metadata: Metadata) -> ClientCall:
            call = self._begin(path, metadata, response_deserializer)
            data = _serialized(request, request_serializer)
            call._call.network.carry(call._call, data, call._call.up)
            return call

        return method

    def stream_stream(
        self, path: str, response_deserializer: Deserializer = None
    ) -> Callable[..., ClientCall]:
        """Returns a method that takes many messages and gives many."""

        def method(*, metadata: Metadata) -> ClientCall:
            return self._begin(path, metadata, response_deserializer)

        return method

    def get_state(self) -> grpc.ChannelConnectivity:
        """Whether there is a connection: a link that is down is not known to be, as on TCP."""
        if self._network.service is None:
            return grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return grpc.ChannelConnectivity.READY

    async def close(self) -> None:
        """Breaks what is left."""
        self._link.reset()

    def _begin(self, path: str, metadata: Metadata, deserialize: Deserializer) -> ClientCall:
        return ClientCall(self._network.call(self._link, path, metadata), deserialize)


def _serialized(request: Any, serializer: Serializer) -> bytes:
    data: bytes = request if serializer is None else serializer(request)
    return data
