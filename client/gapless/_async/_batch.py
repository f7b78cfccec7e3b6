"""Batches: commands that are collected and then run as one."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

from google.protobuf.message import Message

from gapless._async._calls import Calls
from gapless._async._groups import Groups
from gapless._async._transport import ResponseStream
from gapless._async.locks import Locks
from gapless._batches import Collected, fill_in, members
from gapless._commands import CommandKind, CommandRequest
from gapless._queries import QueryKind, Request
from gapless._request_ids import new_request_id
from gapless._usage_errors import batch_ended_error, hold_in_batch_error, read_in_batch_error
from gapless.v1.commands_pb2 import ExecuteBatchRequest, ExecuteBatchResponse
from gapless.v1.common_pb2 import Receipt
from gapless.v1.guards_pb2 import Guard

ResponseT = TypeVar("ResponseT", bound=Message)

_EXECUTE_BATCH: Final = CommandKind("execute_batch", ExecuteBatchResponse)


class _CollectingCalls(Calls):
    """Takes commands and sends none; their responses are filled in later."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls.connection, calls.options)
        self.collected: list[Collected] = []
        # Whether there is a batch any more that a command could be a part of.
        self.ended = False

    async def submit(
        self, kind: CommandKind[ResponseT], request: CommandRequest, timeout: float | None
    ) -> ResponseT:
        if self.ended:
            raise batch_ended_error()
        response = kind.response()
        self.collected.append(Collected(kind.field, request, response))
        return response

    async def submit_encoded(
        self, kind: CommandKind[ResponseT], request_id: str, data: bytes, timeout: float | None
    ) -> ResponseT:
        return await self.submit(kind, kind.parse(data), timeout)

    async def submit_alone(
        self,
        kind: CommandKind[ResponseT],
        request: CommandRequest,
        timeout: float | None,
        wait_seconds: float,
    ) -> ResponseT:
        # The service says why a batch does not wait.
        return await self.submit(kind, request, timeout)

    async def query(
        self, kind: QueryKind[ResponseT], request: Request, timeout: float | None
    ) -> NoReturn:
        raise read_in_batch_error()

    def stream(self, kind: QueryKind[ResponseT], request: Request) -> ResponseStream[ResponseT]:
        raise read_in_batch_error()


class _CollectingLocks(Locks):
    """Commands about locks; a block within the block of a batch would never hold any."""

    def hold(self, *_: Any, **__: Any) -> NoReturn:
        """Raises RuntimeError, which says what to do instead."""
        raise hold_in_batch_error()


class AsyncBatch(Groups):
    """Commands that are run as one, all of them or none; made by ``client.batch()``.

    The methods of its groups take note of a command, whose `request_id` and `timeout` count for
    nothing here, and return its response empty. It is filled in when the block ends.
    """

    def __init__(
        self, calls: Calls, guards: Sequence[Guard], request_id: str | None, timeout: float | None
    ) -> None:
        self._calls = calls.without_guards()
        self._collecting = _CollectingCalls(self._calls)
        super().__init__(self._collecting)
        self.locks = _CollectingLocks(self._collecting)
        self._guards = guards
        self._timeout = timeout
        self.request_id = new_request_id() if request_id is None else request_id
        """The idempotency key of the whole batch."""
        self.receipt: Receipt | None = None
        """Where and when the batch was committed; None before, and for a batch of no commands."""

    async def __aenter__(self) -> Self:
        if self._collecting.ended:
            raise batch_ended_error()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        collected = self._collecting.collected
        self._collecting.ended = True
        if error is not None or not collected:
            return
        request = ExecuteBatchRequest(
            request_id=self.request_id, commands=members(collected), guards=self._guards
        )
        answer = await self._calls.submit(_EXECUTE_BATCH, request, self._timeout)
        fill_in(collected, answer)
        self.receipt = answer.receipt
