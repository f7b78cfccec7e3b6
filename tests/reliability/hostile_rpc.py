"""A proxy for calls that forwards them not at all, twice, late, or without their answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused
from gapless_server.rpc.status import abort

PIPELINE: Final = "/gapless.v1.CommandService/Pipeline"
STREAMS: Final = ("/gapless.v1.EventService/Watch",)

_MOMENT_SECONDS_MAX: Final = 0.1

# What becomes of a request, or of a frame of commands.
FATES: Final = (
    "request_dropped", "answer_dropped", "doubled_at_once", "doubled_later", "delayed",
    "comes_after_its_failure", "cancelled", "stream_ended", "turned_away",
)  # fmt: skip

_Context = grpc.aio.ServicerContext[bytes, bytes]


class HostileRpcProxy(grpc.GenericRpcHandler):
    """Answers every method with what the service behind it answers, as chance has it."""

    def __init__(self, server_address: str, chance: random.Random, fault_share: float) -> None:
        """So large a share of calls and frames, from 0 to 1, meets with a fate of `FATES`."""
        self.chance = chance
        self.faults: Counter[str] = Counter()
        self.address = ""
        self._fault_share = fault_share
        self._channel = grpc.aio.insecure_channel(
            server_address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._late: set[asyncio.Task[Any]] = set()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))

    async def start(self) -> None:
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        """Ends, once all that was to arrive late has arrived."""
        await self._server.stop(grace=0)
        await self.all_arrived()
        await self._channel.close()

    async def all_arrived(self) -> None:
        """Returns once nothing is on its way to the service any more."""
        while self._late:
            await asyncio.wait(tuple(self._late))

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        path = details.method
        if path == PIPELINE:
            return grpc.stream_stream_rpc_method_handler(self._pipeline)
        if path in STREAMS:
            raise LookupError(f"{path} is not forwarded by this proxy")

        async def unary(request: bytes, context: _Context) -> bytes:
            return await self._unary(path, request, context)

        return grpc.unary_unary_rpc_method_handler(unary)

    def _fate(self) -> str:
        if self.chance.random() >= self._fault_share:
            return "forwarded"
        fate = self.chance.choice(FATES)
        self.faults[fate] += 1
        return fate

    async def _unary(self, path: str, request: bytes, context: _Context) -> bytes:
        method: Any = self._channel.unary_unary(path)
        metadata = _metadata(context)

        async def forward() -> bytes:
            answer: bytes = await method(request, metadata=metadata)
            return answer

        try:
            return await self._answer(self._fate(), forward, context)
        except grpc.aio.AioRpcError as failed:
            await _fail_as(context, failed)

    async def _pipeline(
        self, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[bytes]:
        """One frame at a time, each over a stream of its own to the service."""
        metadata = _metadata(context)
        async for request in requests:
            fate = self._fate()
            if fate == "stream_ended":
                return
            try:
                # What comes later is this frame, whichever is the newest then.
                forward = partial(self._frame, request, metadata)
                yield await self._answer(fate, forward, context)
            except grpc.aio.AioRpcError as failed:
                await _fail_as(context, failed)

    async def _frame(self, request: bytes, metadata: Any) -> bytes:
        call: Any = self._channel.stream_stream(PIPELINE)(metadata=metadata)
        await call.write(request)
        await call.done_writing()
        answer = await call.read()
        if answer is grpc.aio.EOF:
            raise RuntimeError("the service ended a stream of frames without the answer")
        assert isinstance(answer, bytes)
        return answer

    async def _answer(self, fate: str, forward: Any, context: _Context) -> bytes:
        answer: bytes
        match fate:
            case "request_dropped" | "stream_ended":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the proxy dropped the request")
            case "turned_away":
                # As by a service that has too much to do, before it has looked at anything.
                await abort(context, _too_many())
            case "answer_dropped":
                await self._shielded(forward())
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the proxy dropped the answer")
            case "cancelled":
                await self._shielded(forward())
                await context.abort(grpc.StatusCode.CANCELLED, "the proxy cancelled")
            case "comes_after_its_failure":
                self._shielded(self._later(forward))
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the proxy gave up")
            case "doubled_at_once":
                both = [self._shielded(forward()), self._shielded(forward())]
                answers = await asyncio.gather(*both)
                answer = self.chance.choice(answers)
            case "doubled_later":
                answer = await self._shielded(forward())
                self._shielded(self._later(forward))
            case "delayed":
                answer = await self._later(forward)
            case _:
                answer = await forward()
        return answer

    async def _later(self, forward: Any) -> bytes:
        # The delay is the fault.
        await asyncio.sleep(self.chance.uniform(0, _MOMENT_SECONDS_MAX))
        answer: bytes = await forward()
        return answer

    def _shielded(self, work: Any) -> asyncio.Future[bytes]:
        """Goes on although the caller may go away."""
        task: asyncio.Task[bytes] = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._arrived)
        return asyncio.shield(task)

    def _arrived(self, task: asyncio.Task[bytes]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of: a refusal is nobody's by now


def _metadata(context: _Context) -> Any:
    return tuple(
        (key, value)
        for key, value in context.invocation_metadata() or ()
        if key.startswith("gapless-")
    )


def _too_many() -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_TOO_MANY_STREAMS,
        retry_after_seconds=0.05,
        streams_max=0,
        kind="hostile",
    )


async def _fail_as(context: _Context, failed: grpc.aio.AioRpcError) -> NoReturn:
    """Fails as the service did."""
    details = tuple((key, value) for key, value in failed.trailing_metadata() or ())
    await context.abort(failed.code(), failed.details() or "", trailing_metadata=details)
    raise AssertionError("abort raises")


@asynccontextmanager
async def hostile_rpc_proxy(
    server_address: str, chance: random.Random, fault_share: float
) -> AsyncIterator[HostileRpcProxy]:
    """Gives a proxy before a server."""
    proxy = HostileRpcProxy(server_address, chance, fault_share)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
