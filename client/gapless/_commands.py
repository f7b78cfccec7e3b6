"""Commands as the pipelined stream carries them.

A frame on the wire is a ``PipelineRequest``: its commands one after another, each a tag, a length
and a ``Command``; and a ``Command``, having exactly one field set, is again a tag, a length and
the request itself. So a request is serialized once, when it is submitted, gets these two headers,
and a frame is nothing but its commands joined; that is four times cheaper than building the
messages around it, and what is sent again is the same bytes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from gapless._error_decoding import from_command_error
from gapless._queries import Request
from gapless._retry import is_retryable, refusal_leaves_outcome_open, seconds_before_retry
from gapless.errors import DeadlineExceededError, GaplessError, InternalError
from gapless.v1 import commands_pb2

ResponseT = TypeVar("ResponseT", bound=Message)
ResponseT_co = TypeVar("ResponseT_co", bound=Message, covariant=True)

_LENGTH_DELIMITED: Final = 2


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _tag(field_number: int) -> bytes:
    return _varint(field_number << 3 | _LENGTH_DELIMITED)


_COMMANDS_TAG: Final = _tag(commands_pb2.PipelineRequest.COMMANDS_FIELD_NUMBER)
# Headers are kept by length; longer requests are too rare to keep theirs.
_HEADERS_KEPT_MAX: Final = 4096


# A command with the one field set that a kind of command names.
new_command: Callable[..., commands_pb2.Command] = commands_pb2.Command


class CommandRequest(Request, Protocol):
    """What the request of every command has."""

    request_id: str


class CommandKind(Generic[ResponseT_co]):
    """One kind of command: a field of ``Command``, and the response of the same name."""

    __slots__ = ("_headers", "_tag", "field", "response")

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
        self._tag = _tag(command_field.number)
        self._headers: dict[int, bytes] = {}

    def encode(self, request: CommandRequest, guards: bytes = b"") -> bytes:
        """The request as one element of a frame, behind its guards."""
        data = request.SerializeToString()
        size = len(data)
        if guards:
            command = guards + self._tag + _varint(size) + data
            return _COMMANDS_TAG + _varint(len(command)) + command
        try:
            return self._headers[size] + data
        except KeyError:
            return self._header(size) + data

    def _header(self, size: int) -> bytes:
        inner = self._tag + _varint(size)
        header = _COMMANDS_TAG + _varint(len(inner) + size) + inner
        if size < _HEADERS_KEPT_MAX:
            self._headers[size] = header
        return header


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
        "request",
        "waiter",
    )

    # Set anew by the pipeline each time that the command is enqueued.
    waiter: Waiter

    def __init__(
        self,
        kind: CommandKind[Message],
        request: CommandRequest,
        deadline: float,
        attempts_max: int | None,
        guards: bytes = b"",
    ) -> None:
        self.data = kind.encode(request, guards)
        self.field = kind.field
        self.request = request
        # On the clock of time.monotonic().
        self.deadline = deadline
        self.attempts_max = attempts_max
        # How often it failed to be answered: attempts that led to an answer end its life.
        self.attempts = 0
        # True once it may have been applied without our knowing.
        self.outcome_open = False
        self.last_error: GaplessError | None = None

    @property
    def request_id(self) -> str:
        """Its request id; asked for only when something goes wrong."""
        return self.request.request_id

    def settle(self, result: commands_pb2.CommandResult) -> None:
        """Gives the caller its answer, unless it has stopped waiting."""
        waiter = self.waiter
        if waiter.done():
            return
        field: Any = self.field  # the stubs know the names of fields only as literals
        # Cheaper than asking which result it is.
        if result.HasField(field):
            waiter.set_result(getattr(result, field))
        else:
            waiter.set_exception(self._refusal(result.WhichOneof("result"), result))

    def _refusal(self, name: str | None, result: commands_pb2.CommandResult) -> GaplessError:
        self.attempts += 1
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
