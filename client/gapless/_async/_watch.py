"""Watching the log: a stream that goes on by itself after a break."""

from __future__ import annotations

import random
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

import grpc

from gapless._async._calls import Calls
from gapless._async._transport import ResponseStream, RpcError, failed_call, sleep
from gapless._error_decoding import from_failed_call, plain_error
from gapless._options import WATCH_SILENCE_SECONDS_MAX
from gapless._queries import QueryKind
from gapless._retry import seconds_before_retry
from gapless._watching import WatchItem, WatchPosition
from gapless.errors import GaplessError
from gapless.v1 import events_pb2

_WATCH: Final = QueryKind("EventService.Watch", events_pb2.WatchResponse)


class AsyncWatch:
    """The entries of the log as they are committed, for as long as it is iterated.

    Iterating gives ``Entry`` items in order, each once, and a single ``CaughtUp`` in between. When
    the stream is lost, by a restart of the service or otherwise, it goes on after the last item.
    Use it in one place at a time, and close it, or use it as a context manager, to end it.
    """

    def __init__(
        self, calls: Calls, position: WatchPosition, *, timeout: float, resume_timeout: float
    ) -> None:
        """Times are in seconds: to the first message of the first stream, and of later ones."""
        self._calls = calls
        self._position = position
        self._timeout = timeout
        self._resume_timeout = resume_timeout
        self._stream: ResponseStream[events_pb2.WatchResponse] | None = None
        self._items: deque[WatchItem] = deque()
        self._failures = 0
        self._started = False
        # Whether the service ever said something: from then on only time limits the tries.
        self._reached = False
        self._closed = False
        # None while a stream works; else when to stop trying to get one.
        self._give_up_time: float | None = None

    def __aiter__(self) -> Self:
        """Gives the watch itself: iterating again goes on where it stands."""
        return self

    async def __anext__(self) -> WatchItem:
        """The next item.

        Raises:
            CursorReset: the cursor is of another incarnation of the log; begin from the start.
            GaplessError: the watch was refused, or could not go on within its time.
        """
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            response = await self._next_response()
            if response is not None:
                self._items.extend(self._position.take(response))
        return self._items.popleft()

    async def _next_response(self) -> events_pb2.WatchResponse | None:
        """The next message of the stream; None if the stream broke and another try is due."""
        if not self._started:
            self._started = True
            self._give_up_time = time.monotonic() + self._timeout
        # Also where there is a stream: it does not survive that the process is forked.
        self._calls.connection.channel()
        if self._stream is None:
            self._stream = self._calls.stream(_WATCH, self._position.request())
        try:
            response = await self._stream.next(self._silence_seconds_max())
        except RpcError as failed:
            error = from_failed_call(failed_call(failed), self._calls.connection.address)
        except TimeoutError:
            error = self._broken("it said nothing for too long")
        except BaseException:
            # Cancelled while it waited: what it waited for comes again on the next stream.
            self._drop_stream()
            raise
        else:
            if response is not None:
                self._reached = True
                self._failures = 0
                self._give_up_time = None
                return response
            error = self._broken("it ended the stream")
        self._drop_stream()
        await self._recover(error)
        return None

    def _silence_seconds_max(self) -> float:
        """A stream that is silent for so long is dead; less where the time to try is short."""
        if self._give_up_time is None:
            return WATCH_SILENCE_SECONDS_MAX
        seconds_left = self._give_up_time - time.monotonic()
        return min(WATCH_SILENCE_SECONDS_MAX, max(seconds_left, 0.0))

    def _broken(self, details: str) -> GaplessError:
        address = self._calls.connection.address
        return plain_error(grpc.StatusCode.UNAVAILABLE, details, address)

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    async def _recover(self, error: GaplessError) -> None:
        """Waits before the next stream, or raises `error` if there is to be none."""
        if self._closed:
            return
        now = time.monotonic()
        if self._give_up_time is None:
            self._give_up_time = now + self._resume_timeout
        self._failures += 1
        wait = seconds_before_retry(
            error,
            attempts=self._failures,
            attempts_max=None if self._reached else self._calls.options.attempts_max,
            seconds_left=self._give_up_time - now,
            jitter=random.random(),  # noqa: S311  (no secret)
        )
        if wait is None:
            self._closed = True
            raise error
        await sleep(wait)

    async def close(self) -> None:
        """Ends the watch; iterating stops. Again: does nothing."""
        self._closed = True
        self._items.clear()
        self._drop_stream()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
