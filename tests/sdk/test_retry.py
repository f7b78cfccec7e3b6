"""Whether to send again, and how long to wait before: a table of cases."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from gapless import GaplessError, errors
from gapless._retry import (
    BACKOFF_SECONDS_FIRST,
    BACKOFF_SECONDS_MAX,
    RECONNECT_SECONDS_MAX,
    break_leaves_outcome_open,
    calls_leave_outcome_open,
    is_retryable,
    refusal_leaves_outcome_open,
    seconds_before_retry,
    wait_seconds,
)


def _plain(code: StatusCode, message: str = "it failed", **details: float) -> GaplessError:
    return errors.BY_CODE[code](message, code=code, **details)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.QueueFull("full"), True),
        (errors.ShuttingDown("stopping"), True),
        (errors.OutcomeUnknown("fsync failed"), True),
        (errors.ChannelNotFound("no channel"), False),
        (errors.MessageVersionMismatch("other version"), False),
        (errors.TooManyEmoji("64"), False),
        (_plain(StatusCode.UNAVAILABLE), True),
        (_plain(StatusCode.RESOURCE_EXHAUSTED), False),
        (_plain(StatusCode.RESOURCE_EXHAUSTED, retry_delay_seconds=1.0), True),
        (_plain(StatusCode.CANCELLED), True),
        (_plain(StatusCode.INTERNAL), False),
        (_plain(StatusCode.INTERNAL, "Received RST_STREAM with error code 2"), True),
        (_plain(StatusCode.INTERNAL, "Internal error from Core"), True),
        (_plain(StatusCode.DEADLINE_EXCEEDED), False),
        (_plain(StatusCode.UNIMPLEMENTED), False),
        (_plain(StatusCode.UNKNOWN), False),
        (errors.UnavailableError("new", reason="FROM_THE_FUTURE"), True),
        (errors.CallCancelledError("new", reason="FROM_THE_FUTURE"), False),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}" if isinstance(value, Exception) else "",
)
def test_what_passes_by_itself_is_sent_again(error: GaplessError, expected: bool) -> None:
    assert is_retryable(error) is expected


@pytest.mark.parametrize(
    ("failures", "longest_seconds"), [(1, 0.05), (2, 0.1), (3, 0.2), (6, 1.6), (7, 2.0), (500, 2.0)]
)
def test_the_wait_doubles_up_to_a_maximum(failures: int, longest_seconds: float) -> None:
    error = errors.QueueFull("full")

    assert wait_seconds(error, failures, jitter=0.0) == pytest.approx(longest_seconds)
    assert wait_seconds(error, failures, jitter=1.0) == pytest.approx(longest_seconds / 2)
    assert BACKOFF_SECONDS_FIRST / 2 <= wait_seconds(error, failures, 0.5) <= BACKOFF_SECONDS_MAX


def test_a_lost_connection_is_tried_again_sooner() -> None:
    assert wait_seconds(_plain(StatusCode.UNAVAILABLE), 99, jitter=0.0) == RECONNECT_SECONDS_MAX


def _wait(error: GaplessError, **changes: float | None) -> float | None:
    arguments = {"attempts": 1, "attempts_max": None, "seconds_left": 10.0, "jitter": 0.0}
    return seconds_before_retry(error, **(arguments | changes))  # type: ignore[arg-type]


def test_the_delay_that_the_service_asks_for_is_kept() -> None:
    error = errors.QueueFull("full", retry_delay_seconds=1.0)

    assert _wait(error) == 1.0
    assert _wait(error, jitter=1.0) == 1.25
    # A longer wait of our own is not cut short.
    assert _wait(errors.QueueFull("full", retry_delay_seconds=0.01)) == BACKOFF_SECONDS_FIRST


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({"attempts": 2, "attempts_max": 3}, True),
        ({"attempts": 3, "attempts_max": 3}, False),
        ({"attempts": 99, "attempts_max": None}, True),
        ({"attempts": 1, "seconds_left": 0.06}, True),
        ({"attempts": 1, "seconds_left": 0.05}, False),
        ({"attempts": 1, "seconds_left": -1.0}, False),
    ],
)
def test_attempts_end_with_their_number_or_the_time(
    changes: dict[str, float | None], waits: bool
) -> None:
    assert (_wait(errors.ShuttingDown("stopping"), **changes) is not None) is waits


def test_a_final_refusal_is_never_sent_again() -> None:
    assert _wait(errors.ChannelNotFound("no channel")) is None


@pytest.mark.parametrize(
    ("error", "is_open"),
    [
        (errors.OutcomeUnknown("fsync failed"), True),
        (errors.ShuttingDown("nothing was done"), False),
        (errors.QueueFull("full"), False),
        (errors.ChannelNotFound("no channel"), False),
    ],
)
def test_only_an_open_refusal_leaves_the_outcome_open(error: GaplessError, is_open: bool) -> None:
    assert refusal_leaves_outcome_open(error) is is_open


@pytest.mark.parametrize(
    ("error", "is_open"),
    [
        (_plain(StatusCode.UNAVAILABLE), True),
        (_plain(StatusCode.CANCELLED), True),
        (_plain(StatusCode.INTERNAL), True),
        (errors.ShuttingDown("stopping"), True),
        (errors.TooManyStreams("1000"), False),
        (errors.InvalidField("gapless-namespace"), False),
        (_plain(StatusCode.UNIMPLEMENTED), False),
        (_plain(StatusCode.PERMISSION_DENIED), False),
        (_plain(StatusCode.PERMISSION_DENIED, "Received RST_STREAM with error code 12"), True),
        (_plain(StatusCode.RESOURCE_EXHAUSTED), True),
    ],
)
def test_a_broken_stream_leaves_open_what_was_under_way(error: GaplessError, is_open: bool) -> None:
    assert break_leaves_outcome_open(error) is is_open


@pytest.mark.parametrize(
    ("failures", "is_open"),
    [
        ([], False),
        ([_plain(StatusCode.UNAVAILABLE)], True),
        ([_plain(StatusCode.DEADLINE_EXCEEDED)], True),
        ([errors.OutcomeUnknown("fsync failed")], True),
        ([errors.ShuttingDown("nothing was done")], False),
        ([_plain(StatusCode.UNIMPLEMENTED)], False),
        # What the last call led to says nothing about the one before it...
        ([_plain(StatusCode.UNAVAILABLE), errors.ShuttingDown("nothing was done")], True),
        ([errors.OutcomeUnknown("fsync failed"), errors.QueueFull("full")], True),
        # ... unless it was decided with the request id in view.
        ([_plain(StatusCode.UNAVAILABLE), errors.LockHeld("by another")], False),
    ],
)
def test_any_call_of_a_command_may_leave_its_outcome_open(
    failures: list[GaplessError], is_open: bool
) -> None:
    assert calls_leave_outcome_open(failures) is is_open
