"""What comes over the wire as an error is raised as the exception of its row of the table."""

from __future__ import annotations

import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gapless import FieldViolation, GaplessError, RetryAdvice, errors
from gapless._error_decoding import (
    STATUS_DETAILS_KEY,
    from_command_error,
    from_failed_call,
    plain_error,
)
from gapless.v1 import commands_pb2, errors_pb2, options_pb2

ADDRESS = "127.0.0.1:4275"
PREFIX = "ERROR_REASON_"
ROWS = [
    value
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values
    if value.name != f"{PREFIX}UNSPECIFIED"
]


class FailedCall:
    """A call that ended with a status and trailers."""

    def __init__(
        self,
        code: grpc.StatusCode | None,
        details: str | None,
        trailers: tuple[tuple[str, str | bytes], ...] | None = (),
    ) -> None:
        self._code = code
        self._details = details
        self._trailers = trailers

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        return self._trailers


def packed(detail: Message) -> PackedAny:
    result = PackedAny()
    result.Pack(detail)
    return result


def status(code: int, message: str, *details: Message) -> status_pb2.Status:
    return status_pb2.Status(
        code=code, message=message, details=[packed(detail) for detail in details]
    )


def failed_call(status: status_pb2.Status) -> FailedCall:
    trailer = (STATUS_DETAILS_KEY, status.SerializeToString())
    return FailedCall(grpc.StatusCode.UNKNOWN, status.message, (("other", "x"), trailer))


@pytest.mark.parametrize("value", ROWS, ids=lambda value: value.name.removeprefix(PREFIX))
def test_every_row_of_the_table_has_its_exception(value: object) -> None:
    # Given what the service sends for a row of the table
    name = value.name.removeprefix(PREFIX)  # type: ignore[attr-defined]
    rules = value.GetOptions().Extensions[options_pb2.error]  # type: ignore[attr-defined]
    metadata = {key: f"<{key}>" for key in rules.metadata}
    text = rules.text.format_map(metadata)
    info = error_details_pb2.ErrorInfo(reason=name, domain="gapless", metadata=metadata)

    # When it comes as the trailers of a call, and as the error of a command
    from_call = from_failed_call(failed_call(status(rules.code, text, info)), ADDRESS)
    command_error = commands_pb2.CommandError(
        code=rules.code,
        reason=name,
        message=text,
        status=status(rules.code, text, info).SerializeToString(),
    )
    from_command = from_command_error(command_error, "request-1")

    # Then both are the exception of the row, with everything that the row says
    for error in (from_call, from_command):
        assert type(error) is errors.BY_REASON[name]
        assert type(error).__base__ is errors.BY_CODE[error.code]
        assert error.code.value[0] == rules.code
        assert (error.reason, error.message, str(error)) == (name, text, text)
        assert error.metadata == metadata
        assert error.retry_advice.value == rules.retry
    assert from_call.request_id is None
    assert from_command.request_id == "request-1"


def test_every_bad_field_and_the_delay_are_told() -> None:
    bad_request = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="channel_id", description="is empty"),
            error_details_pb2.BadRequest.FieldViolation(field="body.data", description="too long"),
        ]
    )
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1250)

    error = from_failed_call(failed_call(status(8, "wait", bad_request, retry)), ADDRESS)

    assert error.field_violations == (
        FieldViolation("channel_id", "is empty"),
        FieldViolation("body.data", "too long"),
    )
    assert error.retry_delay_seconds == 1.25


def test_a_reason_of_a_newer_service_is_raised_as_the_class_of_its_status() -> None:
    info = error_details_pb2.ErrorInfo(
        reason="FROM_THE_FUTURE", domain="gapless", metadata={"when": "2099"}
    )

    error = from_failed_call(failed_call(status(9, "not yet", info)), ADDRESS)

    assert type(error) is errors.FailedPreconditionError
    assert (error.reason, error.metadata) == ("FROM_THE_FUTURE", {"when": "2099"})
    assert error.retry_advice is RetryAdvice.UNSPECIFIED


def test_a_status_of_a_newer_service_is_raised_as_the_base() -> None:
    error = from_command_error(
        commands_pb2.CommandError(code=99, reason="FROM_THE_FUTURE", message="odd"), "request-1"
    )

    assert type(error) is errors.UnknownError
    assert (error.reason, error.message) == ("FROM_THE_FUTURE", "odd")


def test_another_domain_has_other_reasons() -> None:
    info = error_details_pb2.ErrorInfo(reason="CHANNEL_NOT_FOUND", domain="proxy.example")

    error = from_failed_call(failed_call(status(5, "no route", info)), ADDRESS)

    assert type(error) is errors.NotFoundError
    assert error.reason == ""


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff"], ids=["nothing", "garbage"])
def test_an_error_without_readable_details_is_still_an_error(data: bytes) -> None:
    call = FailedCall(grpc.StatusCode.NOT_FOUND, "gone", ((STATUS_DETAILS_KEY, data),))
    command_error = commands_pb2.CommandError(
        code=5, reason="CHANNEL_NOT_FOUND", message="gone", status=data
    )

    assert type(from_failed_call(call, ADDRESS)) is errors.NotFoundError
    assert type(from_command_error(command_error, "request-1")) is errors.ChannelNotFound


def test_a_detail_that_can_not_be_read_is_left_out() -> None:
    broken = PackedAny(
        type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff\xff"
    )
    call = failed_call(status_pb2.Status(code=5, message="gone", details=[broken]))

    error = from_failed_call(call, ADDRESS)

    assert type(error) is errors.NotFoundError
    assert error.message == "gone"


def test_a_call_that_says_nothing_at_all_is_an_unknown_error() -> None:
    error = from_failed_call(FailedCall(None, None, None), ADDRESS)

    assert type(error) is errors.UnknownError
    assert ADDRESS in error.message


@pytest.mark.parametrize("code", sorted(errors.BY_CODE, key=str))
def test_errors_of_grpc_itself_name_the_address(code: grpc.StatusCode) -> None:
    error = plain_error(code, "Connection refused", ADDRESS)

    assert type(error) is errors.BY_CODE[code]
    assert error.code is code
    assert ADDRESS in error.message
    assert "Connection refused" in error.message


def test_an_unreachable_service_says_what_to_do() -> None:
    error = plain_error(grpc.StatusCode.UNAVAILABLE, "Connection refused", ADDRESS)

    assert "gapless serve" in str(error)


def test_an_open_outcome_says_how_to_close_it() -> None:
    error = errors.UnavailableError("the connection broke").for_request(
        "request-1", outcome_unknown=True
    )

    assert "request_id='request-1'" in str(error)
    assert "events.get_request('request-1')" in str(error)


def test_an_error_survives_the_way_to_another_process() -> None:
    error = errors.ChannelNotFound(
        "channel x does not exist",
        metadata={"channel_id": "x"},
        field_violations=[FieldViolation("a", "b")],
        retry_delay_seconds=0.5,
        request_id="request-1",
        outcome_unknown=True,
    )

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is errors.ChannelNotFound
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_every_class_is_below_the_base() -> None:
    for name in errors.__all__:
        exported = getattr(errors, name)
        if isinstance(exported, type) and issubclass(exported, Exception):
            assert issubclass(exported, GaplessError)


@pytest.mark.parametrize(("text", "index"), [("12", 12), ("", None), ("first", None), ("-1", None)])
def test_a_batch_index_that_is_no_number_is_none(text: str, index: int | None) -> None:
    assert GaplessError("refused", metadata={"batch_index": text}).batch_index == index
    assert GaplessError("refused").batch_index is None
