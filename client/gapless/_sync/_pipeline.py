"""The pipelined stream for threads: many callers' commands, a few frames under way.

``CommandQueue`` decides, under one lock; here is what waits: callers, each on a lock of its own,
one thread that keeps a stream open while there are commands and reads from it, and gRPC's thread
that asks for the next frame when it has sent the last.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from gapless._command_queue import UNWANTED_SECONDS_MAX, CommandQueue
from gapless._commands import PendingCommand
from gapless._error_decoding import from_failed_call, plain_error
from gapless._options import (
    PING_PATH,
    PIPELINE_PATH,
    QUEUE_BYTES_MAX,
    QUEUE_COMMANDS_MAX,
    STREAM_END_SECONDS_MAX,
    STREAM_IDLE_SECONDS_MAX,
)
from gapless._retry import wait_seconds
from gapless._sync._transport import Channel, failed_call
from gapless._usage_errors import closed_error
from gapless.errors import DeadlineExceededError, GaplessError, InternalError, TooManyStreams
from gapless.metadata import CallMetadata
from gapless.v1 import commands_pb2


class Waiter:
    """Where a thread waits for its answer: cheaper than an event, as it is used once."""

    __slots__ = ("_answered", "_done", "_error", "_result")

    def __init__(self) -> None:
        self._answered = threading.Lock()
        self._answered.acquire()
        self._done = False
        self._result: Any = None
        self._error: GaplessError | None = None

    def done(self) -> bool:
        """Whether there is an answer."""
        return self._done

    def set_result(self, result: Any, /) -> None:
        """Answers with a response."""
        self._result = result
        self._done = True
        self._answered.release()

    def set_exception(self, exception: GaplessError, /) -> None:
        """Answers with an error."""
        self._error = exception
        self._done = True
        self._answered.release()

    def wait(self, seconds: float) -> bool:
        """Waits for the answer; False if there was none for so long."""
        limit = -1 if math.isinf(seconds) else min(max(seconds, 0), threading.TIMEOUT_MAX)
        return self._answered.acquire(timeout=limit)

    def result(self) -> Any:
        """The answer: a response, or an error that is raised."""
        if self._error is not None:
            raise self._error
        return self._result


class _Stream:
    """What those at a stream tell each other; under the lock of the pipeline."""

    def __init__(self) -> None:
        self.is_over = False
        # Once there is nothing to send any more.
        self.is_to_end = False
        self.is_given_up = False
        self.call: Any = None
        self._end_limit: threading.Timer | None = None

    def give_up(self) -> None:
        """Ends a stream that says nothing."""
        self.is_given_up = True
        if self.call is not None:
            self.call.cancel()

    def limit_end(self, seconds: float) -> None:
        """Gives it up if it has not ended in so long, now that nothing more is written."""
        self._end_limit = threading.Timer(seconds, self.give_up)
        self._end_limit.daemon = True
        self._end_limit.start()

    def end(self) -> None:
        """Runs once it is over."""
        self.is_over = True
        if self._end_limit is not None:
            self._end_limit.cancel()
        if self.call is not None:
            self.call.cancel()


class Pipeline:
    """Runs the commands of one namespace and caller; used by any number of threads."""

    def __init__(
        self,
        channel: Channel,
        metadata: CallMetadata,
        address: str,
        end_idle_streams: Callable[[], None],
    ) -> None:
        """`end_idle_streams` ends those of all pipelines of the client; for want of places."""
        self._metadata = metadata
        self._address = address
        self._end_idle_streams = end_idle_streams
        # Frames are bytes already, so there is nothing to serialize.
        self._open_call: grpc.StreamStreamMultiCallable[bytes, commands_pb2.PipelineResponse] = (
            channel.stream_stream(
                PIPELINE_PATH, response_deserializer=commands_pb2.PipelineResponse.FromString
            )
        )
        self._ping: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PING_PATH)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._queue = CommandQueue(
            address, commands_max=QUEUE_COMMANDS_MAX, bytes_max=QUEUE_BYTES_MAX
        )
        self._streaming: threading.Thread | None = None
        self._call: Any = None
        self._stream: _Stream | None = None
        self._failures = 0
        self._closed = threading.Event()

    def run(self, command: PendingCommand) -> Any:
        """Sends a command until there is an answer to it: its response, or an error that raises."""
        while True:
            try:
                return self._run_once(command)
            except GaplessError as error:
                wait = command.seconds_before_retry(error)
                if wait is None:
                    raise
            # Closing ends the rest; then `_run_once` says so.
            self._closed.wait(wait)

    def _run_once(self, command: PendingCommand) -> Any:
        waiter = Waiter()
        with self._lock:
            while not self._queue.has_room():
                self._wait_for_room(command)
            if self._closed.is_set():
                raise closed_error().for_request(
                    command.request_id, outcome_unknown=command.outcome_open
                )
            command.waiter = waiter
            self._queue.add(command)
            self._work.notify_all()
            if self._streaming is None:
                self._streaming = threading.Thread(
                    target=self._keep_streaming, name="gapless pipeline", daemon=True
                )
                self._streaming.start()
        while not waiter.wait(command.deadline - time.monotonic()):
            with self._lock:
                self._expire()
        return waiter.result()

    def _expire(self) -> None:
        now = time.monotonic()
        self._queue.expire(now)
        if self._stream is not None and self._queue.is_stuck(now):
            self._stream.give_up()
        self._room.notify_all()

    def _wait_for_room(self, command: PendingCommand) -> None:
        seconds_left = command.deadline - time.monotonic()
        limit = None if math.isinf(seconds_left) else min(seconds_left, threading.TIMEOUT_MAX)
        if seconds_left <= 0 or not self._room.wait(limit):
            raise DeadlineExceededError(
                f"the command could not be sent to {self._address} within the timeout: the client"
                " has as many without an answer as it holds",
                request_id=command.request_id,
                outcome_unknown=command.outcome_open,
            )

    def end_if_idle(self) -> None:
        """Ends the stream, if there is nothing to send; the next command opens another."""
        with self._lock:
            if self._stream is not None and self._queue.is_empty():
                self._stream.is_to_end = True
                self._work.notify_all()

    def close(self) -> None:
        """Fails what has no answer yet, and ends the stream."""
        with self._lock:
            self._closed.set()
            self._queue.fail_all(closed_error())
            self._room.notify_all()
            streaming = self._streaming
            if self._call is not None:
                self._call.cancel()
        if streaming is not None:
            streaming.join()

    # Streams: one at a time, while there are commands.

    def _keep_streaming(self) -> None:
        try:
            while self._goes_on():
                try:
                    self._run_stream()
                except GaplessError as error:
                    self._recover(error)
        except Exception as fault:
            with self._lock:
                self._queue.fail_all(InternalError(f"a fault of the SDK: {fault!r}"))
                self._streaming = None
            raise

    def _goes_on(self) -> bool:
        """Whether there are commands; if not, the next one starts another thread."""
        with self._lock:
            if self._queue.is_empty():
                self._streaming = None
            return self._streaming is not None

    def _recover(self, error: GaplessError) -> None:
        """Takes back what was under way, and waits before the next stream."""
        with self._lock:
            self._failures += 1
            self._queue.stream_broke(error, time.monotonic())
            self._room.notify_all()
            if self._queue.is_empty():
                return
        if isinstance(error, TooManyStreams):
            self._end_idle_streams()
        self._closed.wait(wait_seconds(error, self._failures, random.random()))  # noqa: S311

    def _run_stream(self) -> None:
        """Runs one stream until it is idle; raises the error that it broke with."""
        stream = _Stream()
        try:
            self._reach()
            stream.call = self._open_call(self._frames(stream), metadata=self._metadata)
            self._let_close_cancel(stream.call)
            self._stream = stream
            for response in stream.call:
                with self._lock:
                    for command, error in self._queue.answer(response):
                        command.waiter.set_exception(error)
                    self._failures = 0
                    self._work.notify_all()
                    self._room.notify_all()
        except grpc.RpcError as failed:
            if not stream.is_given_up:
                raise from_failed_call(failed_call(failed), self._address) from failed
        finally:
            with self._lock:
                self._stream = None
                stream.end()
                self._work.notify_all()
        if self._queue.is_under_way():
            how = "it owes an answer" if stream.is_given_up else "it ended the stream"
            raise plain_error(grpc.StatusCode.UNAVAILABLE, how, self._address)

    def _reach(self) -> None:
        """Raises if the service is not there: what was never sent then has a known outcome."""
        call = self._ping.future(b"", metadata=self._metadata)
        self._let_close_cancel(call)
        try:
            call.result()
        except grpc.FutureCancelledError:
            raise closed_error() from None
        except grpc.RpcError as failed:
            if failed_call(failed).code() is grpc.StatusCode.UNAVAILABLE:
                raise
            # Any other answer is an answer too.

    def _let_close_cancel(self, call: Any) -> None:
        with self._lock:
            self._call = call
            if self._closed.is_set():
                call.cancel()

    def _frames(self, stream: _Stream) -> Iterator[bytes]:
        """Gives gRPC one frame after the other, until the stream is idle or over."""
        while True:
            with self._lock:
                frame = self._next_frame(stream)
            if frame is None:
                return
            yield frame

    def _next_frame(self, stream: _Stream) -> bytes | None:
        """The next frame, once there is one; None if the stream is idle or over."""
        while not stream.is_over:
            frame = self._queue.next_frame()
            if frame is not None:
                stream.is_to_end = False
                return frame
            is_owed = self._queue.is_under_way()
            if stream.is_to_end and not is_owed:
                stream.limit_end(STREAM_END_SECONDS_MAX)
                return None
            if self._work.wait(UNWANTED_SECONDS_MAX if is_owed else STREAM_IDLE_SECONDS_MAX):
                continue
            if is_owed:
                self._expire()
            else:
                stream.is_to_end = True
        return None
