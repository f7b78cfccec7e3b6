"""Channels, waiting and streams for threads; ``gapless._async`` has the same for asyncio.

Written by hand in both colours, with one interface:
``Answer``, ``ChannelClosed``, ``Closing``, ``Home``, ``answered``, ``open_channel``,
``open_stream``, ``sleep`` and ``RpcError``.
"""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any, Final, Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message

from gapless._error_decoding import FailedCall
from gapless._options import ConnectionOptions
from gapless._queries import QueryKind, Request, serialize
from gapless._sync._watchdog import Watchdog
from gapless.metadata import CallMetadata

ResponseT = TypeVar("ResponseT", bound=Message)

Channel = grpc.Channel
RpcError: Final = grpc.RpcError
# What gRPC raises where a call is begun on a channel that another thread has closed.
ChannelClosed: Final = ValueError
# What a method returns that is awaited in the other colour: here it is there at once.
Answer = Annotated[ResponseT, "at once"]


def failed_call(error: grpc.RpcError) -> FailedCall:
    """What the error of a call says about the call: gRPC raises the call itself."""
    return cast("FailedCall", error)


class Home:
    """What a connection belongs to: nothing, any thread may use it."""

    def is_here(self) -> bool:
        """Always."""
        return True


class Closing:
    """Tells those who rest between two attempts that their client is being closed."""

    def __init__(self) -> None:
        self._begun = threading.Event()

    def begin(self) -> None:
        """Ends every rest."""
        self._begun.set()

    def rest(self, seconds: float) -> None:
        """Waits so long, or until the client is closed."""
        self._begun.wait(seconds)


def open_channel(options: ConnectionOptions) -> Channel:
    """A channel, which connects when it is first used."""
    if options.credentials is None:
        return grpc.insecure_channel(options.target, options.as_grpc())
    return grpc.secure_channel(options.target, options.credentials, options.as_grpc())


def answered(response: ResponseT) -> ResponseT:
    """The response of a call, which has been waited for."""
    return response


def sleep(seconds: float) -> None:
    """Waits so long."""
    time.sleep(seconds)


class ResponseStream(Generic[ResponseT]):
    """The responses of a call that streams them."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._watchdog = Watchdog(call.cancel)

    def next(self, silence_seconds_max: float) -> ResponseT | None:
        """The next response; None at the end of the stream.

        Raises:
            RpcError: the call failed.
            TimeoutError: there was none for so long; the call is given up.
        """
        self._watchdog.arm(silence_seconds_max)
        try:
            return cast("ResponseT", next(self._call))
        except StopIteration:
            return None
        except grpc.RpcError:
            if self._watchdog.has_bitten:
                raise TimeoutError(f"no response for {silence_seconds_max} s") from None
            raise
        finally:
            self._watchdog.disarm()

    def cancel(self) -> None:
        """Gives the call up."""
        self._watchdog.end()
        self._call.cancel()

    def __del__(self) -> None:
        self._watchdog.end()


def open_stream(
    channel: Channel, kind: QueryKind[ResponseT], request: Request, metadata: CallMetadata
) -> ResponseStream[ResponseT]:
    """Calls a method that streams its responses."""
    method: grpc.UnaryStreamMultiCallable[Request, ResponseT] = channel.unary_stream(
        kind.path, request_serializer=serialize, response_deserializer=kind.response.FromString
    )
    return ResponseStream(method(request, metadata=metadata))
