"""Fuzzes a service over gRPC, with raw bytes: what gRPC itself makes of them is seen here too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
from google.rpc.status_pb2 import Status

from gapless.v1.commands_pb2 import Command
from gapless.v1.events_pb2 import WatchRequest
from gapless_server.core.wire import bytes_tag, field
from tests.reliability.fuzzing.calls import METHODS
from tests.reliability.fuzzing.damage import Damager
from tests.reliability.fuzzing.messages import MessageMaker
from tests.reliability.fuzzing.verdicts import HANGS, UNDOCUMENTED, judge_status
from tests.reliability.harness import Run

_DETAILS_KEY: Final = "grpc-status-details-bin"
_SECONDS_MAX: Final = 10.0
_FRAME_COMMANDS: Final = 5
_MEMBER: Final = bytes_tag(1)
# Would wait for a lock, as asked.
_WAITING: Final = "LockService/AcquireLock"


class WireFuzzer:
    """Sends bytes to a service; one connection."""

    def __init__(self, run: Run, channel: grpc.aio.Channel) -> None:
        self._run = run
        self._chance = run.chance
        self._channel: Any = channel
        self._maker = MessageMaker(run.chance)
        self._damager = Damager(run.chance)
        self._methods = [one for one in METHODS if one[0] != _WAITING]

    async def call(self) -> None:
        """Makes one call of any kind, and judges how it ended."""
        method, request_type = self._chance.choice(self._methods)
        if self._chance.random() < 0.2:
            method, call = "CommandService/Pipeline", self._pipeline()
        elif request_type is WatchRequest:
            path = "/gapless.v1.EventService/Watch"
            call = self._channel.unary_stream(path)(self._bytes(request_type))
        else:
            call = self._unary(method, self._bytes(request_type))
        self._run.count("calls")
        try:
            await _first_answer(call)
            self._run.count("answered")
        except grpc.aio.AioRpcError as error:
            self._judge(method, error)
        finally:
            call.cancel()

    def _bytes(self, message_type: Any) -> bytes:
        data: bytes = self._maker.make(message_type).SerializeToString()
        if self._chance.random() < 0.5:
            return self._damager.damage(data, self._maker.make(message_type).SerializeToString())
        return data

    def _unary(self, method: str, data: bytes) -> Any:
        return self._channel.unary_unary(f"/gapless.v1.{method}")(data, timeout=_SECONDS_MAX)

    def _pipeline(self) -> Any:
        frame = b"".join(field(_MEMBER, self._bytes(Command)) for _ in range(_FRAME_COMMANDS))

        async def frames() -> AsyncIterator[bytes]:
            yield frame

        method = self._channel.stream_stream("/gapless.v1.CommandService/Pipeline")
        return method(frames(), timeout=_SECONDS_MAX)

    def _judge(self, method: str, error: grpc.aio.AioRpcError) -> None:
        details = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY)
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._run.violation(HANGS, method)
        elif not isinstance(details, bytes):
            self._run.violation(UNDOCUMENTED, f"{method}: {error.code()}: {error.details()}")
        else:
            judge_status(self._run, Status.FromString(details), method)


async def _first_answer(call: Any) -> None:
    if isinstance(call, grpc.aio.UnaryUnaryCall):
        await call
    else:
        await call.read()
