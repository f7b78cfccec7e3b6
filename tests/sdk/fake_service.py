"""A service that speaks the protocols of streams and misbehaves as a test tells it to.

It remembers request ids as the real one does, so a test can see that a command which was sent twice
was applied once. It runs on a thread of its own, for clients of both colours.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from gapless.v1 import commands_pb2
from gapless.v1.commands_pb2 import CommandError, CommandResult, PipelineRequest, PipelineResponse
from gapless.v1.events_pb2 import (
    GetRequestRequest,
    GetRequestResponse,
    WatchRequest,
    WatchResponse,
)

PIPELINE = "/gapless.v1.CommandService/Pipeline"
READ = "/gapless.v1.OperationsService/GetServerInfo"
WATCH = "/gapless.v1.EventService/Watch"
GET_REQUEST = "/gapless.v1.EventService/GetRequest"
WAIT_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Answer:
    """Applies the frame and answers it; what is done when the script is over."""


@dataclass(frozen=True)
class Break:
    """Ends the stream instead of an answer, after applying the frame or before."""

    applied: bool
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE


@dataclass(frozen=True)
class End:
    """Ends the stream in good order, but without the answer."""


@dataclass(frozen=True)
class Hold:
    """Applies the frame and answers it once the test releases it."""


@dataclass(frozen=True)
class Refuse:
    """Answers every command of the frame with this error, and applies none."""

    error: CommandError


@dataclass(frozen=True)
class Garble:
    """Applies the frame and answers one command too few."""


Action = Answer | Break | End | Garble | Hold | Refuse


@dataclass(frozen=True)
class Watched:
    """What the stream of a watch says, and how it ends; `end` None: it falls silent."""

    responses: Sequence[WatchResponse] = ()
    end: grpc.StatusCode | None = None


@dataclass(frozen=True)
class Frame:
    """A frame as it arrived."""

    stream: int
    names: list[str]
    request_ids: list[str]
    metadata: dict[str, str | bytes]


class FakeService:
    """Runs while it is used as a context manager; may be stopped and started in between."""

    def __init__(
        self,
        script: Iterable[Action] = (),
        *,
        watches: Iterable[Watched] = (),
        reads: Iterable[grpc.StatusCode | None] = (),
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            script: what becomes of the frames, one after the other.
            watches: what the streams of watches say, one after the other.
            reads: how calls of `GetServerInfo` end; None: not at all. After these: UNIMPLEMENTED.
            credentials: for a secure port.
        """
        self.frames: list[Frame] = []
        self.sequences: dict[str, int] = {}
        self.streams_opened = 0
        self.streams_ended = 0
        self.watches_ended = 0
        self.watch_requests: list[WatchRequest] = []
        self.request_ids_asked_for: list[str] = []
        self._script = deque(script)
        self._watches = deque(watches)
        self._reads = deque(reads)
        self._credentials = credentials
        self.reads_metadata: list[dict[str, str | bytes]] = []
        self._port = 0
        # Of the one lock that there is.
        self._ttl_seconds = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._released = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        self._run(self._start())

    def stop(self) -> None:
        """Cuts every connection."""
        self._run(self._stop())

    def release(self) -> None:
        """Lets held frames, and all that are held later, be answered."""
        self._loop.call_soon_threadsafe(self._released.set)

    def wait_for_frames(self, count: int) -> None:
        """Returns once so many frames have arrived."""
        self._wait_for(count, "frames", lambda: len(self.frames))

    def wait_for_ended_streams(self, count: int) -> None:
        """Returns once so many streams are over."""
        self._wait_for(count, "ended streams", lambda: self.streams_ended)

    def wait_for_reads(self, count: int) -> None:
        """Returns once so many reads have arrived."""
        self._wait_for(count, "reads", lambda: len(self.reads_metadata))

    def wait_for_watches(self, count: int) -> None:
        """Returns once so many watches have begun."""
        self._wait_for(count, "watches", lambda: len(self.watch_requests))

    def wait_for_ended_watches(self, count: int) -> None:
        """Returns once so many streams of watches are over."""
        self._wait_for(count, "ended watches", lambda: self.watches_ended)

    def _wait_for(self, count: int, what: str, counted: Callable[[], int]) -> None:
        with self._changed:
            reached = self._changed.wait_for(lambda: counted() >= count, WAIT_SECONDS_MAX)
        assert reached, f"{counted()} {what}, expected {count}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS_MAX)

    async def _start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((_Handlers(self),))
        if self._credentials is None:
            self._port = server.add_insecure_port(self.address)
        else:
            self._port = server.add_secure_port(self.address, self._credentials)
        await server.start()
        self._server = server

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    async def pipeline(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        stream = self.streams_opened
        self.streams_opened += 1
        metadata = dict(context.invocation_metadata() or ())
        frames: asyncio.Queue[PipelineRequest | None] = asyncio.Queue()

        async def take_in() -> None:
            """Notes frames as they arrive, also while the answer of an earlier one is held."""
            async for data in requests:
                request = PipelineRequest.FromString(data)
                self._note(Frame(stream, _names(request), _request_ids(request), metadata))
                frames.put_nowait(request)
            frames.put_nowait(None)

        reader = asyncio.create_task(take_in())
        try:
            while (request := await frames.get()) is not None:
                action = self._script.popleft() if self._script else Answer()
                if isinstance(action, End):
                    return
                if isinstance(action, Break):
                    if action.applied:
                        self._apply(request)
                    await context.abort(action.code, "broken by the test")
                yield (await self._answer(action, request)).SerializeToString()
        finally:
            reader.cancel()
            with self._changed:
                self.streams_ended += 1
                self._changed.notify_all()

    async def _answer(self, action: Action, request: PipelineRequest) -> PipelineResponse:
        match action:
            case Refuse(error):
                results = [CommandResult(error=error) for _ in request.commands]
                return PipelineResponse(results=results)
            case Garble():
                return PipelineResponse(results=self._apply(request).results[1:])
            case Hold():
                answer = self._apply(request)
                await self._released.wait()
                return answer
            case _:
                return self._apply(request)

    async def watch(
        self, data: bytes, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        watched = self._watches.popleft() if self._watches else Watched()
        with self._changed:
            self.watch_requests.append(WatchRequest.FromString(data))
            self._changed.notify_all()
        try:
            for response in watched.responses:
                yield response.SerializeToString()
            if watched.end is None:
                await self._released.wait()
            elif watched.end is not grpc.StatusCode.OK:
                await context.abort(watched.end, "broken by the test")
        finally:
            with self._changed:
                self.watches_ended += 1
                self._changed.notify_all()

    async def read(self, _: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        with self._changed:
            self.reads_metadata.append(dict(context.invocation_metadata() or ()))
            self._changed.notify_all()
        code = self._reads.popleft() if self._reads else grpc.StatusCode.UNIMPLEMENTED
        if code is None:
            await self._released.wait()
        elif code is not grpc.StatusCode.OK:
            await context.abort(code, "failed by the test")
        return b""

    async def get_request(self, data: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """What became of a command, which is taken for one that acquired the lock."""
        request_id = GetRequestRequest.FromString(data).request_id
        self.request_ids_asked_for.append(request_id)
        response = GetRequestResponse(found=request_id in self.sequences)
        if response.found:
            response.result.acquire_lock.lock.fencing_token = 1
        return response.SerializeToString()

    def _note(self, frame: Frame) -> None:
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def _apply(self, request: PipelineRequest) -> PipelineResponse:
        results = []
        for command in request.commands:
            name = command.WhichOneof("command")
            assert name is not None
            request_id = getattr(command, name).request_id
            replayed = request_id in self.sequences
            sequence = self.sequences.setdefault(request_id, len(self.sequences) + 1)
            result = CommandResult()
            response = getattr(result, name)
            response.receipt.position = sequence
            response.receipt.replayed = replayed
            response.receipt.changed = True
            if name == "acquire_lock":
                self._ttl_seconds = command.acquire_lock.ttl_seconds
            if name in ("acquire_lock", "renew_lock"):
                response.lock.ttl_seconds = self._ttl_seconds
                response.lock.fencing_token = 1
            results.append(result)
        return PipelineResponse(results=results)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, service: FakeService) -> None:
        self._service = service

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method == PIPELINE:
            return grpc.stream_stream_rpc_method_handler(self._service.pipeline)
        if details.method == READ:
            return grpc.unary_unary_rpc_method_handler(self._service.read)
        if details.method == GET_REQUEST:
            return grpc.unary_unary_rpc_method_handler(self._service.get_request)
        if details.method == WATCH:
            return grpc.unary_stream_rpc_method_handler(self._service.watch)
        return None


def _names(request: PipelineRequest) -> list[str]:
    return [command.WhichOneof("command") or "" for command in request.commands]


def _request_ids(request: PipelineRequest) -> list[str]:
    return [_request_id(command) for command in request.commands]


def _request_id(command: commands_pb2.Command) -> str:
    request_id: str = getattr(command, command.WhichOneof("command") or "").request_id
    return request_id
