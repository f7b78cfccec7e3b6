"""From what is on the wire to the exception for it.

One way in for both carriers of an error: the trailers of a failed call, and the ``CommandError``
of a refused command in a frame. Nothing here raises on an error that it does not know: a newer
service may have reasons and statuses that this SDK has not heard of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from gapless import errors
from gapless.errors import FieldViolation, GaplessError
from gapless.v1 import commands_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"
ERROR_DOMAIN = "gapless"

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_Detail = TypeVar("_Detail", bound=Message)


class FailedCall(Protocol):
    """What a failed call of either colour of gRPC says about itself."""

    def code(self) -> grpc.StatusCode | None: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_command_error(error: commands_pb2.CommandError, request_id: str) -> GaplessError:
    """The exception for a command that was refused in a frame."""
    status = _parse_status(error.status) or status_pb2.Status(
        code=error.code, message=error.message
    )
    return _from_status(status, reason=error.reason, request_id=request_id)


def from_failed_call(call: FailedCall, address: str) -> GaplessError:
    """The exception for a call that failed, whether the service or gRPC itself says so.

    `address` is where the call went, for the text.
    """
    for key, value in call.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            status = _parse_status(value)
            if status is not None:
                return _from_status(status)
    code = call.code() or grpc.StatusCode.UNKNOWN
    return plain_error(code, call.details() or "no details given", address)


def plain_error(code: grpc.StatusCode, details: str, address: str) -> GaplessError:
    """The exception for an error that gRPC itself made, with what to do about it."""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            text = (
                f"the service at {address} can not be reached: {details}. Check that it runs there"
                " (`gapless serve` starts it) and that the address is right"
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"no answer from {address} in time: {details}. Allow more with timeout="
        case grpc.StatusCode.UNIMPLEMENTED:
            text = (
                f"the service at {address} does not have this method: {details}. Check that it is a"
                " gapless service, at least as new as this SDK"
            )
        case grpc.StatusCode.CANCELLED:
            text = f"the call to {address} was cancelled: {details}"
        case _:
            text = f"the call to {address} failed with {code.name}: {details}"
    return errors.BY_CODE.get(code, GaplessError)(text, code=code)


def _parse_status(data: bytes) -> status_pb2.Status | None:
    if not data:
        return None
    try:
        return status_pb2.Status.FromString(data)
    except DecodeError:
        return None


def _from_status(
    status: status_pb2.Status, *, reason: str = "", request_id: str | None = None
) -> GaplessError:
    info = _detail(status, error_details_pb2.ErrorInfo)
    bad_request = _detail(status, error_details_pb2.BadRequest)
    retry = _detail(status, error_details_pb2.RetryInfo)
    if info is not None and info.domain == ERROR_DOMAIN:
        reason = info.reason
    code = _STATUS_CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    error_class = errors.BY_REASON.get(reason) or errors.BY_CODE.get(code, GaplessError)
    return error_class(
        status.message,
        code=code,
        reason=reason,
        metadata=dict(info.metadata) if info is not None else None,
        field_violations=[
            FieldViolation(violation.field, violation.description)
            for violation in (bad_request.field_violations if bad_request is not None else ())
        ],
        retry_delay_seconds=_seconds(retry) if retry is not None else None,
        request_id=request_id,
    )


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    """The first detail of this kind, or None if there is none that can be read."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            try:
                packed.Unpack(detail)
            except DecodeError:
                return None
            return detail
    return None


def _seconds(retry: error_details_pb2.RetryInfo) -> float:
    seconds: int = retry.retry_delay.seconds
    nanoseconds: int = retry.retry_delay.nanos
    return seconds + nanoseconds / 1e9
