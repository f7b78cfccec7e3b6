"""The pipelined stream on asyncio: many callers' commands, a few frames under way.

``CommandQueue`` decides; here is what waits: one task that keeps a stream open while there are
commands, one that writes frames to it, and one timer for every deadline. A command costs a future
and no task, unless it is refused and sent again; and all that has gathered while a frame was
written goes into the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from gapless._async._transport import Channel, Home, sleep
from gapless._command_queue import CommandQueue
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
from gapless._pace import Pace
from gapless._retry import wait_seconds
from gapless._usage_errors import closed_error, elsewhere_error
from gapless.errors import DeadlineExceededError, GaplessError, InternalError, TooManyStreams
from gapless.metadata import CallMetadata
from gapless.v1 import commands_pb2

# So many callers are let in at once when there is room again: their sizes are not known yet, so the
# bytes of the queue may go beyond its limit by these.
ENTERING_MAX: Final = 64
# After a stream broke in a way that hides why, the next is listened to for so long before anything
# is written: one that is refused says so within a round trip.
LISTENING_SECONDS_MAX: Final = 0.5

_Call = grpc.aio.StreamStreamCall[bytes, commands_pb2.PipelineResponse]


class Pipeline:
    """Runs the commands of one namespace and caller; used on one event loop."""

    def __init__(
        self,
        channel: Channel,
        metadata: CallMetadata,
        address: str,
        end_idle_streams: Callable[[], None],
    ) -> None:
        """`end_idle_streams` ends those of all pipelines of the client; for want of places."""
        self._home = Home()
        self._loop = self._home.loop
        self._metadata = metadata
        self._address = address
        self._end_idle_streams = end_idle_streams
        self._channel = channel
        # Frames are bytes already, so there is nothing to serialize.
        self._open_call: grpc.aio.StreamStreamMultiCallable[
            bytes, commands_pb2.PipelineResponse
        ] = channel.stream_stream(
            PIPELINE_PATH,
            response_deserializer=commands_pb2.PipelineResponse.FromString,
        )
        self._ping: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PING_PATH)
        self._queue = CommandQueue(
            address, commands_max=QUEUE_COMMANDS_MAX, bytes_max=QUEUE_BYTES_MAX
        )
        # In the order in which they came; who goes away leaves the line wherever it stands.
        self._waiting_for_room: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        # Let in, and not there yet.
        self._entering = 0
        # Commands that were refused, and the tasks that send them again after a while.
        self._resting: dict[asyncio.Task[None], PendingCommand] = {}
        self._work = asyncio.Event()
        self._streaming: asyncio.Task[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_time = float("inf")
        self._failures = 0
        self._pace = Pace()
        self._frames_written = 0
        self._idle = False
        self._idle_check: asyncio.TimerHandle | None = None
        self._call: _Call | None = None
        self._call_given_up = False
        self._end_limit: asyncio.TimerHandle | None = None
        self._closed = False

    def run(self, command: PendingCommand) -> Awaitable[Any]:
        """Sends a command until there is an answer to it: its response, or an error that raises.

        Cancelling the awaitable abandons the answer, not the command.
        """
        if not self._home.is_here():
            raise elsewhere_error()
        queue = self._queue
        if queue.is_full or self._waiting_for_room or self._entering:
            return self._run_when_room(command)
        # What is called here, every command pays for: this is `_enqueue`, written out.
        waiter = command.waiter = self._loop.create_future()
        if queue.add(command):
            self._begin()
        if command.deadline < self._sweep_time:
            self._sweep_at(command.deadline)
        return waiter

    def _enqueue(self, command: PendingCommand) -> None:
        if self._queue.add(command):
            self._begin()
        if command.deadline < self._sweep_time:
            self._sweep_at(command.deadline)

    def _begin(self) -> None:
        """Has what waits sent; called when there is something to send after there was nothing."""
        if self._closed:
            self._queue.fail_all(closed_error())
        elif self._streaming is None:
            self._streaming = self._loop.create_task(self._keep_streaming())
        self._work.set()

    async def _run_when_room(self, command: PendingCommand) -> Any:
        waiter = command.waiter = self._loop.create_future()
        await self._enqueue_when_room(command)
        return await waiter

    async def _enqueue_when_room(self, command: PendingCommand) -> None:
        """Waits in line for room; what a caller adds stays bounded, however many there are."""
        if not (self._queue.is_full or self._waiting_for_room or self._entering):
            self._enqueue(command)
            return
        room: asyncio.Future[None] = self._loop.create_future()
        self._waiting_for_room[room] = None
        try:
            async with asyncio.timeout(_finite(command.deadline - time.monotonic())):
                await room
            self._enqueue(command)
        except TimeoutError:
            raise DeadlineExceededError(
                f"the command could not be sent to {self._address} within the timeout: the client"
                " has as many without an answer as it holds",
                request_id=command.request_id,
                outcome_unknown=command.outcome_open,
            ) from None
        finally:
            self._waiting_for_room.pop(room, None)
            if room.done() and not room.cancelled():
                # Whether it came in or was cancelled on the way, the next in line may come.
                self._entering -= 1
                self._give_room()

    def _give_room(self) -> None:
        """Lets those in who are first in line; those who come in let the next in."""
        while (
            self._waiting_for_room
            and self._entering < ENTERING_MAX
            and (self._closed or self._queue.has_room(beside=self._entering))
        ):
            room, _ = self._waiting_for_room.popitem(last=False)
            if not room.done():
                self._entering += 1
                room.set_result(None)

    def end_if_idle(self) -> None:
        """Ends the stream, if there is nothing to send; the next command opens another."""
        if self._queue.is_empty():
            self._idle = True
            self._work.set()

    async def close(self) -> None:
        """Fails what has no answer yet, and ends the stream."""
        self._closed = True
        self._queue.fail_all(closed_error())
        for task, command in self._resting.items():
            task.cancel()
            command.fail(closed_error())
        self._give_room()
        if self._sweep is not None:
            self._sweep.cancel()
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.wait([self._streaming])

    # Refusals: what passes is sent again, for the same waiter.

    def _refused(self, command: PendingCommand, error: GaplessError) -> None:
        wait = command.seconds_before_retry(error)
        if wait is None:
            command.waiter.set_exception(error)
            return
        task = self._loop.create_task(self._send_again(command, wait))
        self._resting[task] = command
        task.add_done_callback(self._resting.pop)

    async def _send_again(self, command: PendingCommand, wait: float) -> None:
        await sleep(wait)
        if command.waiter.done():
            return  # its caller has gone
        try:
            await self._enqueue_when_room(command)
        except GaplessError as error:
            command.fail(error)

    # Deadlines: one timer, set to the first of them.

    def _sweep_at(self, deadline: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep_time = deadline
        # The loop's clock is time.monotonic() on every loop that is in use; the delay does not
        # rely on it.
        self._sweep = self._loop.call_later(deadline - time.monotonic(), self._expire)

    def _expire(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep = None
        self._sweep_time = float("inf")
        now = time.monotonic()
        earliest = self._queue.expire(now)
        if self._queue.is_stuck(now):
            self._give_up_call()
        if earliest is not None:
            self._sweep_at(earliest)
        self._give_room()

    # Streams: one at a time, while there are commands.

    async def _keep_streaming(self) -> None:
        try:
            while not self._queue.is_empty():
                try:
                    await self._stream()
                except GaplessError as error:
                    await self._recover(error)
        except asyncio.CancelledError:
            self._queue.fail_all(closed_error())
            raise
        except Exception as fault:
            self._queue.fail_all(InternalError(f"a fault of the SDK: {fault!r}"))
            raise
        finally:
            self._streaming = None

    async def _recover(self, error: GaplessError) -> None:
        """Takes back what was under way, and waits before the next stream."""
        self._failures += 1
        self._queue.stream_broke(error, time.monotonic())
        self._give_room()
        if isinstance(error, TooManyStreams):
            self._end_idle_streams()
        if not self._queue.is_empty():
            await sleep(wait_seconds(error, self._failures, random.random()))  # noqa: S311

    async def _stream(self) -> None:
        """Runs one stream until it is idle; raises the error that it broke with."""
        call: _Call | None = None
        writer: asyncio.Task[None] | None = None
        self._call_given_up = False
        try:
            await self._reach()
            call = self._call = self._open_call(metadata=self._metadata)
            writer = self._loop.create_task(self._write_frames(call))
            while isinstance(response := await call.read(), commands_pb2.PipelineResponse):
                self._pace.answered(time.thread_time())
                for refusal in self._queue.answer(response):
                    self._refused(*refusal)
                self._failures = 0
                self._give_room()
                self._work.set()
        except grpc.aio.AioRpcError as failed:
            raise from_failed_call(failed, self._address) from failed
        except asyncio.CancelledError:
            # What gRPC raises in a read where the call was given up.
            is_cancelled = self._streaming is None or self._streaming.cancelling() > 0
            if is_cancelled or not self._call_given_up:
                raise
        finally:
            self._call = None
            if call is not None:
                call.cancel()
            if writer is not None:
                writer.cancel()
            if self._end_limit is not None:
                self._end_limit.cancel()
        if self._queue.is_under_way():
            how = "it owes an answer" if self._call_given_up else "it ended the stream"
            raise plain_error(grpc.StatusCode.UNAVAILABLE, how, self._address)

    def _give_up_call(self) -> None:
        """Ends a stream that says nothing."""
        if self._call is not None:
            self._call_given_up = True
            self._call.cancel()

    async def _reach(self) -> None:
        """Raises if the service is not there: what was never sent then has a known outcome.

        Where there is a connection nobody has to be asked: a stream costs a round trip less.
        """
        if self._channel.get_state() is grpc.ChannelConnectivity.READY:
            return
        try:
            await self._ping(b"", metadata=self._metadata)
        except grpc.aio.AioRpcError as failed:
            if failed.code() is grpc.StatusCode.UNAVAILABLE:
                raise
            # Any other answer is an answer too.

    async def _write_frames(self, call: _Call) -> None:
        """Writes frames until the stream is idle or over."""
        self._idle = False
        self._check_idle(frames_written_before=-1)
        try:
            if self._queue.listens_first:
                await self._listen(call)
            while not self._idle:
                if call.done():
                    return  # what is not written has a known outcome
                self._work.clear()
                frame = self._queue.next_frame(halves_pay=self._pace.halves_pay)
                if frame is None:
                    await self._work.wait()
                else:
                    self._pace.sent(time.monotonic(), time.thread_time())
                    self._frames_written += 1
                    await call.write(frame)
            self._end_limit = self._loop.call_later(STREAM_END_SECONDS_MAX, self._give_up_call)
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the stream is over; whoever reads it learns why
        finally:
            if self._idle_check is not None:
                self._idle_check.cancel()

    async def _listen(self, call: _Call) -> None:
        """Waits for a stream to be refused, if it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTENING_SECONDS_MAX):
                await call.code()

    def _check_idle(self, frames_written_before: int) -> None:
        """Looks now and then, rather than keeping a timer anew for every frame."""
        if self._frames_written == frames_written_before and self._queue.is_empty():
            self._idle = True
            self._work.set()
        else:
            # Those who wait without a limit of time, and go away, have no deadline.
            self._expire()
            self._idle_check = self._loop.call_later(
                STREAM_IDLE_SECONDS_MAX, self._check_idle, self._frames_written
            )


def _finite(seconds: float) -> float | None:
    """The same, or None, which asyncio takes for no limit, where it is infinite."""
    return None if seconds == float("inf") else seconds
