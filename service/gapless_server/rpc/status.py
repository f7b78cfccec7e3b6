"""Errors on the wire: a refusal as a google.rpc.Status with its details."""

from __future__ import annotations

from typing import NoReturn

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from gapless.v1.commands_pb2 import CommandError, CommandResult
from gapless_server.core.refusals import FieldFault, Refused
from gapless_server.writer.entries import Answer

DOMAIN = "gapless"
DETAILS_KEY = "grpc-status-details-bin"

# gRPC takes 8 KiB of trailers unless told otherwise, and errors travel there: the message with
# all that is not ASCII percent-encoded, the details as base64 where a proxy or a client asks so.
# An error beyond that would arrive as another one, without a reason.
MESSAGE_BYTES_MAX = 1_400
METADATA_BYTES_MAX = 2_400
DETAILS_BYTES_MAX = 4_500
# What a violation takes beside its texts.
_VIOLATION_BYTES = 16

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _encoded_bytes(character: str) -> int:
    """Returns how long a character is in a message on the wire."""
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())


def _message(text: str) -> str:
    """Returns a text, cut off where it would not fit as the message of a status."""
    if 3 * len(text.encode()) <= MESSAGE_BYTES_MAX:
        return text
    size_bytes, kept = len("..."), 0
    for index, character in enumerate(text):
        size_bytes += _encoded_bytes(character)
        if size_bytes > MESSAGE_BYTES_MAX:
            return f"{text[:kept]}..."
        kept = index + 1
    return text


def _value(text: str, bytes_max: int) -> str:
    data = text.encode()
    if len(data) <= bytes_max:
        return text
    return data[: max(0, bytes_max - len("..."))].decode(errors="ignore") + "..."


def _error_info(refusal: Refused) -> error_details_pb2.ErrorInfo:
    bytes_max = METADATA_BYTES_MAX
    metadata = refusal.metadata
    while sum(len(value.encode()) for value in metadata.values()) > METADATA_BYTES_MAX:
        metadata = {key: _value(value, bytes_max) for key, value in refusal.metadata.items()}
        bytes_max //= 2
    return error_details_pb2.ErrorInfo(reason=refusal.row.reason, domain=DOMAIN, metadata=metadata)


def _bad_request(faults: tuple[FieldFault, ...], bytes_max: int) -> error_details_pb2.BadRequest:
    """Returns as many of the faults as there is room for, the first ones; one at the least."""
    bad = error_details_pb2.BadRequest()
    first, *others = faults
    first_bytes_max = bytes_max - len(first.field.encode()) - _VIOLATION_BYTES
    bad.field_violations.add(
        field=first.field, description=_value(first.description, max(first_bytes_max, 0))
    )
    for fault in others:
        bad.field_violations.add(field=fault.field, description=fault.description)
        if bad.ByteSize() > bytes_max:
            del bad.field_violations[-1]
            break
    return bad


def to_status(refusal: Refused) -> status_pb2.Status:
    """Returns the status of a refusal: ErrorInfo and, where they apply, RetryInfo, BadRequest."""
    status = status_pb2.Status(code=refusal.row.code, message=_message(str(refusal)))
    status.details.add().Pack(_error_info(refusal))
    if refusal.retry_after_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(round(refusal.retry_after_seconds * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if refusal.faults:
        bad = _bad_request(refusal.faults, DETAILS_BYTES_MAX - status.ByteSize())
        status.details.add().Pack(bad)
    return status


def to_result(outcome: Answer | Refused) -> bytes:
    """Returns what became of a command as a serialized CommandResult."""
    if isinstance(outcome, Answer):
        return outcome.result()
    status = to_status(outcome)
    result = CommandResult(
        error=CommandError(
            code=status.code,
            reason=outcome.row.reason,
            message=status.message,
            status=status.SerializeToString(),
        )
    )
    return result.SerializeToString()


async def abort(context: grpc.aio.ServicerContext[bytes, bytes], refusal: Refused) -> NoReturn:
    """Ends a call with the status of a refusal.

    gRPC keeps what ends a call in a cycle, which lives until the garbage collector comes: the
    command that was refused, which the traceback has among its variables, must not be part of it.
    """
    status = to_status(refusal)
    refusal.with_traceback(None)
    details = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(_CODES[status.code], status.message, details)
