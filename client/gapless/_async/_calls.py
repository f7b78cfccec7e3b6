"""How the resource groups call: commands through the pipeline, reads as unary calls.

One for each view of a client. The retry loop of calls is here, that of commands in the pipeline;
what they decide is in ``_retry``.
"""

from __future__ import annotations

import random
import time
from typing import Final, TypeVar

from google.protobuf.message import Message

from gapless._async._connection import Connection
from gapless._async._pipeline import Pipeline
from gapless._async._transport import Answer, ResponseStream, RpcError, failed_call
from gapless._commands import (
    SENT_BYTES_MAX,
    CommandKind,
    CommandRequest,
    PendingCommand,
    new_command,
    too_large_error,
)
from gapless._error_decoding import from_failed_call
from gapless._guarding import encoded_guards
from gapless._options import CallOptions, check_timeout
from gapless._queries import QueryKind, Request
from gapless._retry import calls_leave_outcome_open, seconds_before_retry
from gapless.errors import GaplessError
from gapless.v1.commands_pb2 import ExecuteRequest, ExecuteResponse

ResponseT = TypeVar("ResponseT", bound=Message)

# What gRPC takes for a deadline ends at some two hundred years; so long is without an end.
CALL_SECONDS_MAX: Final = 1e9

_EXECUTE: Final = QueryKind("CommandService.Execute", ExecuteResponse)


class Calls:
    """Calls for one namespace and caller, with one timeout."""

    def __init__(self, connection: Connection, options: CallOptions) -> None:
        self.connection = connection
        self.options = options
        self.read_metadata = options.read_metadata()
        self._command_metadata = options.command_metadata()
        self._guards = encoded_guards(options.guards)
        self._timeout_seconds = options.timeout_seconds
        self._attempts_max = options.attempts_max
        self._pipeline: Pipeline | None = None

    def without_guards(self) -> Calls:
        """The same calls, without the guards of their commands."""
        return Calls(self.connection, self.options.replace(guards=()))

    def submit(
        self, kind: CommandKind[ResponseT], request: CommandRequest, timeout: float | None
    ) -> Answer[ResponseT]:
        """Runs a command; the answer is its response.

        Args:
            kind: which command.
            request: its request, with a request id.
            timeout: seconds for all attempts together; None: those of the client.

        Raises:
            GaplessError: it was refused, or its time is over.
        """
        return self.submit_encoded(kind, request.request_id, request.SerializeToString(), timeout)

    def submit_encoded(
        self,
        kind: CommandKind[ResponseT],
        request_id: str,
        data: bytes,
        timeout: float | None,
    ) -> Answer[ResponseT]:
        """The same with a request, `data`, that is serialized already.

        Not a coroutine, since each one between a caller and its answer costs every command.
        """
        pipeline = self._pipeline
        if pipeline is None or not self.connection.is_usable:
            pipeline = self._pipeline = self.connection.pipeline(self._command_metadata)
        seconds = self._timeout_seconds if timeout is None else check_timeout(timeout)
        # The element of a frame, written out for the case that is not rare.
        guards = self._guards
        element = kind.element(data, guards) if guards else kind.headers[len(data)] + data
        if len(element) > SENT_BYTES_MAX:
            raise too_large_error(request_id, len(element))
        command = PendingCommand(
            kind.field, request_id, element, time.monotonic() + seconds, self._attempts_max
        )
        answer: Answer[ResponseT] = pipeline.run(command)
        return answer

    async def submit_alone(
        self,
        kind: CommandKind[ResponseT],
        request: CommandRequest,
        timeout: float | None,
        wait_seconds: float,
    ) -> ResponseT:
        """Runs a command by a call of its own, and returns its response.

        For one that may wait in the service: in a stream it would hold up those behind it.

        Args:
            kind: which command.
            request: its request, with a request id.
            timeout: seconds for all attempts together; None: those of the client, and the wait.
            wait_seconds: how long it may wait in the service.

        Raises:
            GaplessError: it was refused, or its time is over.
        """
        if timeout is None:
            timeout = self.options.timeout_seconds + wait_seconds
        execute = ExecuteRequest(
            command=new_command(**{kind.field: request}, guards=self.options.guards)
        )
        if (size := execute.ByteSize()) > SENT_BYTES_MAX:
            raise too_large_error(request.request_id, size)
        failures: list[GaplessError] = []
        try:
            response = await self._call(_EXECUTE, execute, timeout, failures)
        except GaplessError as error:
            raise error.for_request(
                request.request_id, outcome_unknown=calls_leave_outcome_open(failures)
            ) from error
        answer: ResponseT = getattr(response.result, kind.field)
        return answer

    async def query(
        self, kind: QueryKind[ResponseT], request: Request, timeout: float | None
    ) -> ResponseT:
        """Reads and returns the answer.

        Args:
            kind: which read.
            request: its request.
            timeout: seconds for all attempts together; None: those of the client.

        Raises:
            GaplessError: it was refused, or its time is over.
        """
        return await self._call(kind, request, timeout, [])

    async def _call(
        self,
        kind: QueryKind[ResponseT],
        request: Request,
        timeout: float | None,
        failures: list[GaplessError],
    ) -> ResponseT:
        """Calls until there is an answer; adds what each attempt before it led to."""
        deadline = self._deadline(timeout)
        while True:
            seconds_left = deadline - time.monotonic()
            try:
                return await self.connection.call(
                    kind,
                    request,
                    None if seconds_left > CALL_SECONDS_MAX else seconds_left,
                    self.read_metadata,
                )
            except RpcError as failed:
                error = from_failed_call(failed_call(failed), self.connection.address)
                failures.append(error)
                # Raises if the client was closed meanwhile, which is then why it failed.
                self.connection.channel()
                wait = seconds_before_retry(
                    error,
                    attempts=len(failures),
                    attempts_max=self.options.attempts_max,
                    seconds_left=deadline - time.monotonic(),
                    jitter=random.random(),  # noqa: S311  (no secret)
                )
                if wait is None:
                    raise error from failed
            await self.connection.closing.rest(wait)

    def stream(self, kind: QueryKind[ResponseT], request: Request) -> ResponseStream[ResponseT]:
        """Opens a stream of responses, without a deadline."""
        return self.connection.stream(kind, request, self.read_metadata)

    def _deadline(self, timeout: float | None) -> float:
        seconds = self.options.timeout_seconds if timeout is None else check_timeout(timeout)
        return time.monotonic() + seconds
