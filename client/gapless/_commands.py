"""Commands as the pipelined stream carries them.

A frame on the wire is a ``PipelineRequest``: its commands one after another, each a tag, a length
and a ``Command``; and a ``Command``, having exactly one field set, is again a tag, a length and
the request itself. So a request is serialized once, when it is submitted, gets these two headers,
and a frame is nothing but its commands joined; that is four times cheaper than building the
messages around it, and what is sent again is the same bytes. A request need not even have been a
message: see ``_post_encoding``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless._error_decoding import from_command_error
from gapless._queries import Request
from gapless._retry import is_retryable, refusal_leaves_outcome_open, seconds_before_retry
from gapless._wire import Headers, tag, varint
from gapless.errors import CommandTooLarge, DeadlineExceededError, GaplessError, InternalError
from gapless.v1 import commands_pb2

ResponseT = TypeVar("ResponseT", bound=Message)
ResponseT_co = TypeVar("ResponseT_co", bound=Message, covariant=True)

# What the service takes of one command.
TAKEN_BYTES_MAX: Final = 2 * 1024 * 1024
# Up to here it is sent all the same, as the service names the field that is at fault. What is
# larger might not reach it, and break the stream of all others.
SENT_BYTES_MAX: Final = 4 * TAKEN_BYTES_MAX

_COMMANDS: Final = commands_pb2.PipelineRequest.COMMANDS_FIELD_NUMBER

# A command with the one field set that a kind of command names.
new_command: Callable[..., commands_pb2.Command] = commands_pb2.Command


class CommandRequest(Request, Protocol):
    """What the request of every command has."""

    request_id: str


class CommandKind(Generic[ResponseT_co]):
    """One kind of command: a field of ``Command``, and the response of the same name."""

    __slots__ = ("_request", "_tag", "field", "headers", "response")

    def __init__(self, field: str, response: type[ResponseT_co]) -> None:
        """`field` is its name in ``Command`` and ``CommandResult``; `response` types the answer.

        Raises:
            ValueError: there is no such field, or the response is not of that type.
        """
        command_field = commands_pb2.Command.DESCRIPTOR.fields_by_name.get(field)
        result_field = commands_pb2.CommandResult.DESCRIPTOR.fields_by_name.get(field)
        if command_field is None or result_field is None:
            raise ValueError(f"there is no command {field!r} in commands.proto")
        if result_field.message_type is not response.DESCRIPTOR:
            raise ValueError(f"command {field!r} is not answered by {response.DESCRIPTOR.name}")
        self.field = field
        self.response = response
        assert command_field.message_type is not None
        self._request: Any = GetMessageClass(command_field.message_type)
        self._tag = tag(command_field.number)
        # What makes a serialized request an element of a frame, if it has no guards.
        self.headers = Headers(_COMMANDS, command_field.number, is_scalar=False)

    def element(self, data: bytes, guards: bytes = b"") -> bytes:
        """A serialized request as one element of a frame, behind its guards."""
        if not guards:
            return self.headers[len(data)] + data
        command = guards + self._tag + varint(len(data)) + data
        return tag(_COMMANDS) + varint(len(command)) + command

    def parse(self, data: bytes) -> CommandRequest:
        """The request that was serialized."""
        request: CommandRequest = self._request.FromString(data)
        return request


def too_large_error(request_id: str, size_bytes: int) -> CommandTooLarge:
    """For a command that is not even sent to be refused."""
    return CommandTooLarge(
        f"the command has {size_bytes} bytes; at most {TAKEN_BYTES_MAX} are taken. Send less in one"
        " command",
        metadata={"bytes": str(size_bytes), "bytes_max": str(TAKEN_BYTES_MAX)},
        request_id=request_id,
    )


class Waiter(Protocol):
    """Where the answer of a command goes; ``asyncio.Future`` is one."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: GaplessError, /) -> None: ...


class PendingCommand:
    """A command that was submitted and has no answer yet."""

    __slots__ = (
        "attempts",
        "attempts_max",
        "data",
        "deadline",
        "field",
        "last_error",
        "outcome_open",
        "request_id",
        "waiter",
    )

    # Set by the pipeline before it enqueues the command.
    waiter: Waiter

    def __init__(
        self, field: str, request_id: str, data: bytes, deadline: float, attempts_max: int | None
    ) -> None:
        # Which command, by its name in ``Command`` and ``CommandResult``.
        self.field = field
        self.request_id = request_id
        # The element of a frame that it is.
        self.data = data
        # On the clock of time.monotonic().
        self.deadline = deadline
        self.attempts_max = attempts_max
        # How often it failed to be answered: attempts that led to an answer end its life.
        self.attempts = 0
        # True once it may have been applied without our knowing.
        self.outcome_open = False
        self.last_error: GaplessError | None = None

    def refusal(self, result: commands_pb2.CommandResult) -> GaplessError:
        """Why it was refused, of a result that is not its response; counts the attempt."""
        self.attempts += 1
        name = result.WhichOneof("result")
        if name != "error":
            self.outcome_open = True
            return InternalError(
                f"the service answered {self.field} with {name or 'nothing'}; the service and this"
                " SDK do not fit together",
                request_id=self.request_id,
                outcome_unknown=True,
            )
        error = from_command_error(result.error, self.request_id)
        self.outcome_open = self.outcome_open or refusal_leaves_outcome_open(error)
        # A final refusal was decided with the request id in view: had an earlier attempt been
        # applied, its answer would have come instead.
        error.outcome_unknown = self.outcome_open and is_retryable(error)
        self.last_error = error
        return error

    def seconds_before_retry(self, error: GaplessError) -> float | None:
        """How long to wait before it is enqueued again after `error`, or None if it is not."""
        return seconds_before_retry(
            error,
            attempts=self.attempts,
            attempts_max=self.attempts_max,
            seconds_left=self.deadline - time.monotonic(),
            jitter=random.random(),  # noqa: S311  (no secret)
        )

    def fail(self, error: GaplessError) -> None:
        """Gives the caller an error of its own, unless it has stopped waiting."""
        if not self.waiter.done():
            self.waiter.set_exception(
                error.for_request(self.request_id, outcome_unknown=self.outcome_open)
            )

    def expire(self, address: str, *, in_flight: bool) -> None:
        """Tells the caller that its time is over."""
        if in_flight:
            self.outcome_open = True
            self.fail(DeadlineExceededError(f"no answer from {address} within the timeout"))
        elif self.last_error is not None:
            self.fail(self.last_error)
        else:
            self.fail(
                DeadlineExceededError(
                    f"the command could not be sent to {address} within the timeout: there was no"
                    " connection, or too much was waiting before it"
                )
            )
