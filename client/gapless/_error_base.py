"""The base of every exception that a call can raise.

The classes for each status and each reason are generated from the error table into
``gapless.errors``; here is only what they share.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

import grpc


class RetryAdvice(enum.Enum):
    """Whether a refused or failed call is worth sending again."""

    UNSPECIFIED = 0
    """Not stated."""
    NEVER = 1
    """Sending the same again gives the same answer: change the request."""
    AFTER_DELAY = 2
    """Sending the same again, with the same request id, may succeed. The SDK does so by itself."""
    AFTER_READ = 3
    """Read the present state first, then decide on a new command."""


class FieldViolation(NamedTuple):
    """One field of the request that breaks its rule."""

    field: str
    """The path of the field, for example ``body.data``."""
    description: str
    """What is wrong with it."""


class GaplessError(Exception):
    """A call was refused or failed.

    Every error is an instance of the class of its reason (``ChannelNotFound``), which is below
    the class of its status (``NotFoundError``), which is below this one. A reason that this
    version of the SDK does not know is raised as the class of its status.
    """

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The gRPC status."""
    reason: str = ""
    """The row of the error table; empty if the error did not come from the service itself."""
    retry_advice: ClassVar[RetryAdvice] = RetryAdvice.UNSPECIFIED
    """Whether sending the same again is of use."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        field_violations: Sequence[FieldViolation] = (),
        retry_delay_seconds: float | None = None,
        request_id: str | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason
        self.message = message
        """The text for people."""
        self.metadata = dict(metadata or {})
        """Everything that the text says, by name; the error table lists the keys."""
        self.field_violations = tuple(field_violations)
        """Every bad field, if the request was refused for its fields."""
        self.retry_delay_seconds = retry_delay_seconds
        """How long the service asks to wait before the same is sent again, in seconds."""
        self.request_id = request_id
        """The request id of the command, where it was one."""
        self.outcome_unknown = outcome_unknown
        """True if the command may have been applied although this error is raised. Send it again
        with the same request id, or ask ``client.events.get_request(request_id)``."""

    @property
    def batch_index(self) -> int | None:
        """Which command of a batch was refused, from 0; None if it was not a command of a batch."""
        index = self.metadata.get("batch_index", "")
        return int(index) if index.isascii() and index.isdecimal() else None

    def for_request(self, request_id: str, *, outcome_unknown: bool) -> Self:
        """A copy that names the command, so that each waiting caller has an error of its own."""
        return type(self)(
            self.message,
            code=self.code,
            reason=self.reason,
            metadata=self.metadata,
            field_violations=self.field_violations,
            retry_delay_seconds=self.retry_delay_seconds,
            request_id=request_id,
            outcome_unknown=outcome_unknown,
        )

    def __str__(self) -> str:
        if not self.outcome_unknown:
            return self.message
        return (
            f"{self.message}. Whether the command was applied is not known: send it again with"
            f" request_id={self.request_id!r}, which applies it at most once, or ask"
            f" events.get_request({self.request_id!r})"
        )
