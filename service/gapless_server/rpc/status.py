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
from gapless_server.writer.rounds import Outcome

DOMAIN = "gapless"
DETAILS_KEY = "grpc-status-details-bin"

# gRPC takes 8 KiB of metadata by default, and the details travel there.
FAULTS_MAX = 20
TEXT_CHARACTERS_MAX = 1024

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _shortened(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    return text[: TEXT_CHARACTERS_MAX - 3] + "..."


def _bad_request(faults: tuple[FieldFault, ...]) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    for fault in faults[:FAULTS_MAX]:
        bad.field_violations.add(field=fault.field, description=_shortened(fault.description))
    return bad


def to_status(refusal: Refused) -> status_pb2.Status:
    """Returns the status of a refusal: ErrorInfo and, where they apply, BadRequest, RetryInfo."""
    status = status_pb2.Status(code=refusal.row.code, message=_shortened(str(refusal)))
    metadata = {key: _shortened(value) for key, value in refusal.metadata.items()}
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=refusal.row.reason, domain=DOMAIN, metadata=metadata)
    )
    if refusal.faults:
        status.details.add().Pack(_bad_request(refusal.faults))
    if refusal.retry_after_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(round(refusal.retry_after_seconds * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def to_result(outcome: Outcome) -> bytes:
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
    """Ends a call with the status of a refusal."""
    status = to_status(refusal)
    details = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(_CODES[status.code], status.message, details)
