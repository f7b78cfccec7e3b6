"""CommandService: one command, or frames of many on a stream."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import (
    DESCRIPTOR,
    Command,
    CommandResult,
    ExecuteBatchRequest,
    ExecuteRequest,
    ExecuteResponse,
    PipelineResponse,
)
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.wire import bytes_tag, field
from gapless_server.rpc.calls import CallScope, ServicerContext, scope_of
from gapless_server.rpc.frames import FrameTaker
from gapless_server.rpc.status import abort, to_result
from gapless_server.rpc.streams import StreamGate
from gapless_server.rpc.turns import Turns
from gapless_server.rpc.unary import execute, unary_handler
from gapless_server.writer.breath import Breath
from gapless_server.writer.entries import Answer, Answers
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.namespaces import Namespaces
from gapless_server.writer.queue import Frame
from gapless_server.writer.rounds import Outcome

_log = structlog.get_logger()

_RESULT = bytes_tag(PipelineResponse.RESULTS_FIELD_NUMBER)

SERVICE = DESCRIPTOR.services_by_name["CommandService"]


@dataclass(frozen=True, slots=True)
class PipelineLimits:
    """How much of a stream of frames is held at a time; settings of the service."""

    frame_commands_max: int = 10_000
    frames_in_flight_max: int = 8
    streams_max: int = 1000


# The frames of a stream in the order of their answers; a refusal, or None, ends the stream.
_Stream = asyncio.Queue[Frame | Refused | None]


def _shutting_down() -> Refused:
    return Refused(errors_pb2.ERROR_REASON_SHUTTING_DOWN, retry_after_seconds=1.0)


def _fault() -> Refused:
    """Returns how a stream ends whose newest frame could not be handed to the writer."""
    fault_id = secrets.token_hex(8)
    _log.exception("frame_fault", fault_id=fault_id)
    return Refused(errors_pb2.ERROR_REASON_INTERNAL_FAULT, fault_id=fault_id)


class CommandServicer:
    """Answers CommandService."""

    def __init__(self, namespaces: Namespaces, limits: PipelineLimits) -> None:
        self._namespaces = namespaces
        self._limits = limits
        self._gate = StreamGate("pipeline", limits.streams_max)
        self._turns = Turns[bytes, Frame]()
        self._taker = FrameTaker(namespaces.kernel, limits.frame_commands_max)
        # In the order in which they began: they end in an order that does not change by itself.
        self._streams: dict[_Stream, None] = {}
        self._stopping = False

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the handlers of the service."""
        return grpc.method_handlers_generic_handler(
            SERVICE.full_name,
            {
                "Execute": unary_handler(ExecuteRequest, self._execute),
                "ExecuteBatch": unary_handler(ExecuteBatchRequest, self._execute_batch),
                "Pipeline": grpc.stream_stream_rpc_method_handler(self._pipeline),
            },
        )

    async def _execute(self, request: Message, scope: CallScope) -> Message:
        assert isinstance(request, ExecuteRequest)
        if not request.HasField("command"):
            raise invalid_field("command", "is required")
        answer = await execute(self._namespaces, request.command, scope)
        return ExecuteResponse(result=CommandResult.FromString(answer.result()))

    async def _execute_batch(self, request: Message, scope: CallScope) -> Answer:
        assert isinstance(request, ExecuteBatchRequest)
        return await execute(self._namespaces, Command(execute_batch=request), scope)

    async def _pipeline(
        self, requests: AsyncIterator[bytes], context: ServicerContext
    ) -> AsyncIterator[bytes]:
        try:
            scope = scope_of(context)
            self._namespaces.require_creatable(scope.namespace)
            if self._stopping:
                raise _shutting_down()
            with self._gate:
                async with self._namespaces.use(scope.namespace) as namespace:
                    async for response in self._answers(requests, namespace, scope.caller):
                        yield response
        except Refused as refusal:
            await abort(context, refusal)

    def stop(self) -> None:
        """Ends every stream with the reason SHUTTING_DOWN, once what it sent is answered."""
        self._stopping = True
        for stream in self._streams:
            stream.put_nowait(_shutting_down())

    async def _answers(
        self, requests: AsyncIterator[bytes], namespace: Namespace, caller: str
    ) -> AsyncIterator[bytes]:
        """Yields the answer of each frame, in order, while further frames are already taken in."""
        frames: _Stream = asyncio.Queue()
        places = asyncio.Semaphore(self._limits.frames_in_flight_max)

        def submitted(data: bytes) -> Frame:
            return self._submitted(data, namespace, caller)

        async def take_in() -> None:
            try:
                await places.acquire()
                async for data in requests:
                    if self._stopping:
                        return
                    frames.put_nowait(await self._turns.do(submitted, data))
                    await places.acquire()
                frames.put_nowait(None)
            except Refused as refusal:
                frames.put_nowait(refusal)
            except Exception:
                frames.put_nowait(_fault())

        reader = asyncio.create_task(take_in(), name="pipeline reader")
        self._streams[frames] = None
        try:
            while (frame := await frames.get()) is not None:
                if isinstance(frame, Refused):
                    raise frame
                outcomes = await frame.outcomes
                yield await response_of(outcomes)
                places.release()
        finally:
            self._streams.pop(frames, None)
            reader.cancel()
            _abandon(frames)

    def _submitted(self, data: bytes, namespace: Namespace, caller: str) -> Frame:
        """Hands a frame to the writer.

        If the writer refuses the whole frame for now, each of its commands is refused so, and
        the stream goes on. Raises Refused if the frame is not one.
        """
        frame = self._taker.frame(data, caller)
        commands = len(frame.commands)
        try:
            namespace.submit(frame)
        except Refused as refusal:
            # Its answer may wait long, and must not hold what is refused: neither as the frame's
            # commands nor by the traceback, which has them as variables.
            frame.let_go()
            frame.outcomes.set_result([refusal.with_traceback(None)] * commands)
        return frame


def _abandon(frames: _Stream) -> None:
    """Lets the writer drop the frames of a stream that has ended, as far as they are not begun."""
    while not frames.empty():
        frame = frames.get_nowait()
        if isinstance(frame, Frame):
            frame.outcomes.cancel()


async def response_of(outcomes: Sequence[Outcome]) -> bytes:
    """Returns a PipelineResponse, which is its results one after another: see core/wire.py.

    Others have their turns meanwhile: to write a refusal can take longer than to decide it.
    """
    first = outcomes[0]
    if isinstance(first, Refused) and outcomes.count(first) == len(outcomes):
        # A service under more load than it can take mostly refuses frames whole.
        return field(_RESULT, to_result(first)) * len(outcomes)
    parts: list[bytes] = []
    refusal: Refused | None = None
    refused = b""
    breath = Breath()
    for outcome in outcomes:
        if isinstance(outcome, Answer):
            parts += outcome.result_in(_RESULT)
            continue
        if isinstance(outcome, Answers):
            parts.append(outcome.results)
            continue
        if outcome is not refusal:
            if breath.is_due:
                await breath.take()
            refusal, refused = outcome, field(_RESULT, to_result(outcome))
        parts.append(refused)
    return b"".join(parts)
