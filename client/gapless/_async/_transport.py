"""Channels, waiting and streams on asyncio; ``gapless._sync`` has the same for threads.

Written by hand in both colours, with one interface:
``Answer``, ``Home``, ``open_channel``, ``open_stream``, ``sleep`` and ``RpcError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Generic, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from gapless._error_decoding import FailedCall
from gapless._forks import is_asyncio_lost, note_asyncio_channel
from gapless._options import ConnectionOptions
from gapless._queries import QueryKind, Request, serialize
from gapless._usage_errors import asyncio_lost_error
from gapless.metadata import CallMetadata

ResponseT = TypeVar("ResponseT", bound=Message)

Channel = grpc.aio.Channel
Stream = grpc.aio.UnaryStreamCall[Any, ResponseT]
RpcError: Final = grpc.aio.AioRpcError
# What a method returns that is no coroutine itself, and is awaited.
Answer = Awaitable[ResponseT]


def failed_call(error: grpc.aio.AioRpcError) -> FailedCall:
    """What the error of a call says about the call."""
    return cast("FailedCall", error)


class Home:
    """What a connection belongs to from its first use on: the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def is_here(self) -> bool:
        """Whether the caller may be on that loop.

        Asked on every call, so it does not ask for the running loop, which asks the system for the
        process; a loop that runs in another thread makes asyncio itself complain.
        """
        return self._loop.is_running()


def open_channel(options: ConnectionOptions) -> Channel:
    """A channel, which connects when it is first used.

    Raises:
        ClientForkedError: this process was forked while its parent used asyncio with gRPC.
    """
    if is_asyncio_lost():
        raise asyncio_lost_error()
    if options.credentials is None:
        channel = grpc.aio.insecure_channel(options.target, options.as_grpc())
    else:
        channel = grpc.aio.secure_channel(options.target, options.credentials, options.as_grpc())
    note_asyncio_channel(channel)
    return channel


async def sleep(seconds: float) -> None:
    """Waits so long."""
    await asyncio.sleep(seconds)


class ResponseStream(Generic[ResponseT]):
    """The responses of a call that streams them."""

    def __init__(self, call: Stream[ResponseT]) -> None:
        self._call = call
        self._given_up = False

    async def next(self, silence_seconds_max: float) -> ResponseT | None:
        """The next response; None at the end of the stream.

        Raises:
            RpcError: the call failed.
            TimeoutError: there was none for so long; the call is given up.
        """
        try:
            async with asyncio.timeout(silence_seconds_max):
                response = await self._call.read()
        except TimeoutError:
            self._call.cancel()
            raise
        except asyncio.CancelledError:
            # What gRPC raises in a read if another task gives the call up; unlike the cancellation
            # of this task, it is the end of the stream.
            task = asyncio.current_task()
            if self._given_up and task is not None and not task.cancelling():
                return None
            raise
        return None if response is grpc.aio.EOF else cast("ResponseT", response)

    def cancel(self) -> None:
        """Gives the call up."""
        self._given_up = True
        self._call.cancel()


def open_stream(
    channel: Channel, kind: QueryKind[ResponseT], request: Request, metadata: CallMetadata
) -> ResponseStream[ResponseT]:
    """Calls a method that streams its responses."""
    method: grpc.aio.UnaryStreamMultiCallable[Request, ResponseT] = channel.unary_stream(
        kind.path, request_serializer=serialize, response_deserializer=kind.response.FromString
    )
    return ResponseStream(method(request, metadata=metadata))
