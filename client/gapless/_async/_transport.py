"""Channels, waiting and streams on asyncio; ``gapless._sync`` has the same for threads.

Written by hand in both colours, with one interface:
``Answer``, ``ChannelClosed``, ``Closing``, ``Home``, ``answered``, ``open_channel``,
``open_stream``, ``sleep`` and ``RpcError``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
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
# What gRPC raises where a call is begun on a channel that another task has closed.
ChannelClosed: Final = grpc.aio.UsageError
# What a method returns that is no coroutine itself, and is awaited.
Answer = Awaitable[ResponseT]


def failed_call(error: grpc.aio.AioRpcError) -> FailedCall:
    """What the error of a call says about the call."""
    return cast("FailedCall", error)


class Home:
    """What a connection belongs to from its first use on: the running event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def is_here(self) -> bool:
        """Whether the caller is on that loop.

        Asked on every call, so it does not ask for the running loop, which asks the system for the
        process.
        """
        return self.loop.is_running() and self._thread == threading.get_ident()


class Closing:
    """Tells those who rest between two attempts that their client is being closed."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Ends every rest."""
        self._begun.set()

    async def rest(self, seconds: float) -> None:
        """Waits so long, or until the client is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._begun.wait()


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


async def answered(call: Awaitable[ResponseT]) -> ResponseT:
    """Waits for the response of a call.

    Raises:
        RpcError: the call failed, also where the channel was closed under it: gRPC then cancels
            whoever waits, and asyncio would take that for a cancellation of the task.
    """
    swallowed = await _swallowed_cancellations()
    try:
        return await call
    except asyncio.CancelledError:
        if _cancelling() > swallowed:
            raise
        raise _closed_under_way() from None


def _cancelling() -> int:
    """How often somebody cancelled this task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _swallowed_cancellations() -> int:
    """How often this task was cancelled and went on: that counts for as long as it runs.

    More than that after a wait means that the task was cancelled, and not what it waited for. A
    cancellation that is still to be heard, as Ctrl-C brings about in the middle of its code, is
    heard here.
    """
    cancelling = _cancelling()
    if cancelling:
        await asyncio.sleep(0)
    return cancelling


def _closed_under_way() -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        grpc.StatusCode.CANCELLED,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(),
        details="the channel was closed",
    )


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
        swallowed = await _swallowed_cancellations()
        try:
            async with asyncio.timeout(silence_seconds_max):
                response = await self._call.read()
        except TimeoutError:
            self._call.cancel()
            raise
        except asyncio.CancelledError:
            # What gRPC raises in a read if another task gives the call up, which is the end of the
            # stream, or closes the channel.
            if _cancelling() > swallowed:
                raise
            if self._given_up:
                return None
            raise _closed_under_way() from None
        return None if response is grpc.aio.EOF else cast("ResponseT", response)

    def cancel(self) -> None:
        """Gives the call up."""
        self._given_up = True
        self._call.cancel()

    def __del__(self) -> None:
        # gRPC keeps a call that is under way, and the service its stream, also if nobody reads it.
        # A loop that is closed has no calls any more.
        with contextlib.suppress(RuntimeError):
            self._call.cancel()


def open_stream(
    channel: Channel, kind: QueryKind[ResponseT], request: Request, metadata: CallMetadata
) -> ResponseStream[ResponseT]:
    """Calls a method that streams its responses."""
    method: grpc.aio.UnaryStreamMultiCallable[Request, ResponseT] = channel.unary_stream(
        kind.path, request_serializer=serialize, response_deserializer=kind.response.FromString
    )
    return ResponseStream(method(request, metadata=metadata))
