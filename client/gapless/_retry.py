"""When to send again, and how long to wait before: decisions only, for both colours.

Sending again is always safe here: a command keeps its request id, so it is applied at most once,
and a read changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grpc import StatusCode

from gapless.errors import FrameTooLarge, GaplessError, OutcomeUnknown, RetryAdvice

BACKOFF_SECONDS_FIRST: Final = 0.05
BACKOFF_SECONDS_MAX: Final = 2.0
# gRPC itself spaces its attempts to connect; asking it often costs the service nothing, and finds
# it soon after a restart.
RECONNECT_SECONDS_MAX: Final = 0.5
# Callers who were all told to wait one second shall not all come back at that instant.
DELAY_SPREAD: Final = 0.25

# How gRPC reports, as INTERNAL, a connection that broke while a message was received or sent.
_HIDING_TEXT: Final = "Internal error from Core"
_RESET_TEXT: Final = "RST_STREAM"
_BROKEN_TEXTS: Final = (_RESET_TEXT, _HIDING_TEXT)

# How gRPC says, as RESOURCE_EXHAUSTED, that it does not carry a message of this size.
_TOO_LARGE_TEXT: Final = "message larger than max"

# With these statuses a stream was turned away before any command of it was looked at.
_STREAM_REFUSED: Final = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.UNIMPLEMENTED,
    }
)


def is_retryable(error: GaplessError) -> bool:
    """Whether sending the same again may help."""
    if error.retry_advice is not RetryAdvice.UNSPECIFIED:
        return error.retry_advice is RetryAdvice.AFTER_DELAY
    match error.code:
        case StatusCode.UNAVAILABLE:
            return True
        case StatusCode.RESOURCE_EXHAUSTED:
            return error.retry_delay_seconds is not None
        case StatusCode.CANCELLED:
            # A service that is going down hard cancels its calls; what the caller itself cancels
            # never comes this way.
            return not error.reason
        case StatusCode.INTERNAL:
            return not error.reason and any(text in error.message for text in _BROKEN_TEXTS)
        case _:
            return False


def wait_seconds(error: GaplessError, failures: int, jitter: float) -> float:
    """The wait after so many failures in a row, from 1, of which `error` is the last.

    It doubles each time up to a maximum, and is never shorter than the service asks for. `jitter`,
    from 0 to 1, takes up to half of the first away, and adds to the second.
    """
    is_lost = error.code is StatusCode.UNAVAILABLE and not error.reason
    longest = RECONNECT_SECONDS_MAX if is_lost else BACKOFF_SECONDS_MAX
    exponent = min(failures - 1, 16)
    backoff = min(BACKOFF_SECONDS_FIRST * 2.0**exponent, longest) * (1 - jitter / 2)
    return max(backoff, (error.retry_delay_seconds or 0.0) * (1 + DELAY_SPREAD * jitter))


def seconds_before_retry(
    error: GaplessError,
    *,
    attempts: int,
    attempts_max: int | None,
    seconds_left: float,
    jitter: float,
) -> float | None:
    """How long to wait before the next attempt, or None if there is to be none.

    Args:
        error: what the last attempt led to.
        attempts: how many were made, from 1.
        attempts_max: how many may be made; None: as many as the time allows.
        seconds_left: what is left of the whole budget of the call.
        jitter: from 0 to 1, drawn anew for every decision.
    """
    if not is_retryable(error):
        return None
    if attempts_max is not None and attempts >= attempts_max:
        return None
    wait = wait_seconds(error, attempts, jitter)
    return wait if wait < seconds_left else None


def refusal_leaves_outcome_open(error: GaplessError) -> bool:
    """Whether a command may have been applied although this was its answer."""
    return isinstance(error, OutcomeUnknown)


def calls_leave_outcome_open(errors: Sequence[GaplessError]) -> bool:
    """Whether a command may have been applied that was sent by calls of its own, which failed so.

    A final refusal was decided with the request id in view: had an earlier call been applied, its
    answer would have come instead.
    """
    if not errors or (errors[-1].reason and not is_retryable(errors[-1])):
        return False
    return any(
        refusal_leaves_outcome_open(error)
        or (not error.reason and break_leaves_outcome_open(error))
        for error in errors
    )


def break_leaves_outcome_open(error: GaplessError) -> bool:
    """Whether a command may have been applied that was under way when its stream broke so."""
    if error.code is StatusCode.RESOURCE_EXHAUSTED:
        # The service refuses streams so, with a reason; gRPC breaks them off so, at any time.
        return not error.reason
    if not error.reason and _RESET_TEXT in error.message:
        # A stream that was cut off, at any time; gRPC gives some codes of HTTP/2 such a status.
        return True
    return error.code not in _STREAM_REFUSED


def hides_the_status(error: GaplessError) -> bool:
    """Whether gRPC says this in place of the status that a stream ended with.

    It does so on asyncio, where a frame is written to a stream that the service has just ended.
    """
    return error.code is StatusCode.INTERNAL and error.message.endswith(_HIDING_TEXT)


def frame_did_not_pass(error: GaplessError) -> bool:
    """Whether a stream broke since a frame or its answer was too large: smaller ones may pass."""
    if error.reason:
        return isinstance(error, FrameTooLarge)
    return error.code is StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE_TEXT in error.message
