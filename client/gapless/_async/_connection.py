"""One gRPC channel and all that goes over it; a client and its views share it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from gapless._async._giving_back import GiveBacks
from gapless._async._pipeline import Pipeline
from gapless._async._transport import (
    Channel,
    ChannelClosed,
    Closing,
    Home,
    ResponseStream,
    answered,
    open_channel,
    open_stream,
)
from gapless._forks import mark_when_forked
from gapless._options import ConnectionOptions
from gapless._queries import QueryKind, Request, serialize
from gapless._usage_errors import closed_error, elsewhere_error, forked_error
from gapless.metadata import CallMetadata

ResponseT = TypeVar("ResponseT", bound=Message)


class Connection:
    """Opens with the first call; every call checks first that it can still be used."""

    def __init__(
        self,
        options: ConnectionOptions,
        opener: Callable[[ConnectionOptions], Channel] = open_channel,
    ) -> None:
        """`opener` makes the channel; another one than gRPC's is for tests without sockets."""
        self.address = options.target
        self._options = options
        self._opener = opener
        self._channel: Channel | None = None
        self._home: Home | None = None
        # Two threads shall not open two channels; held for no longer than that takes.
        self._opening = threading.Lock()
        # Asked for every command; what is wrong, if something is, says `channel`.
        self.is_usable = True
        self._forked = False
        self.closing = Closing()
        self.give_backs = GiveBacks()
        # A pipeline lives as long as a view of the client uses it or it has commands.
        self._pipelines: weakref.WeakValueDictionary[CallMetadata, Pipeline] = (
            weakref.WeakValueDictionary()
        )
        self._methods: dict[str, Any] = {}
        mark_when_forked(self)

    def mark_forked(self) -> None:
        """Makes every further call raise ClientForkedError."""
        self.is_usable = False
        self._forked = True

    def channel(self) -> Channel:
        """The channel.

        Raises:
            ClientClosedError: the client was closed.
            ClientForkedError: the client was made in the parent process.
            ClientElsewhereError: the client belongs to another event loop.
        """
        if self._forked:
            raise forked_error()
        if not self.is_usable:
            raise closed_error()
        if self._channel is None or self._home is None:
            return self._open()
        if not self._home.is_here():
            raise elsewhere_error()
        return self._channel

    def _open(self) -> Channel:
        with self._opening:
            if not self.is_usable:
                raise closed_error()
            if self._channel is None or self._home is None:
                self._home = Home()
                self._channel = self._opener(self._options)
            elif not self._home.is_here():
                raise elsewhere_error()  # another event loop was first, a moment ago
            return self._channel

    def pipeline(self, metadata: CallMetadata) -> Pipeline:
        """The pipeline of a namespace and caller, one for all views that use it."""
        channel = self.channel()
        with self._opening:
            if not self.is_usable:
                raise closed_error()
            pipeline = self._pipelines.get(metadata)
            if pipeline is None:
                pipeline = self._pipelines[metadata] = Pipeline(
                    channel, metadata, self.address, self._end_idle_streams
                )
            return pipeline

    def _end_idle_streams(self) -> None:
        """Gives places back to the service, for a stream that found none."""
        with self._opening:
            pipelines = list(self._pipelines.values())
        for pipeline in pipelines:
            pipeline.end_if_idle()

    async def call(
        self,
        kind: QueryKind[ResponseT],
        request: Request,
        timeout_seconds: float | None,
        metadata: CallMetadata,
    ) -> ResponseT:
        """One attempt of a read. Raises RpcError."""
        channel = self.channel()
        try:
            method = self._methods.get(kind.path)
            if method is None:
                method = self._methods[kind.path] = channel.unary_unary(
                    kind.path,
                    request_serializer=serialize,
                    response_deserializer=kind.response.FromString,
                )
            response: ResponseT = await answered(
                method(request, timeout=timeout_seconds, metadata=metadata)
            )
        except ChannelClosed:
            self.channel()  # raises if the client was closed meanwhile
            raise
        return response

    def stream(
        self, kind: QueryKind[ResponseT], request: Request, metadata: CallMetadata
    ) -> ResponseStream[ResponseT]:
        """Opens a stream of responses."""
        try:
            return open_stream(self.channel(), kind, request, metadata)
        except ChannelClosed:
            self.channel()  # raises if the client was closed meanwhile
            raise

    async def close(self) -> None:
        """Ends every call and stream. Again, or in a forked child: does nothing."""
        if self._forked:
            return  # without the lock, which a thread of the parent may have held
        with self._opening:
            if not self.is_usable:
                return
            self.is_usable = False
            self.closing.begin()
            pipelines = list(self._pipelines.values())
        try:
            for pipeline in pipelines:
                await pipeline.close()
        finally:
            if self._channel is not None:
                await self._channel.close()
