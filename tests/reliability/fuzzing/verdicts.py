"""What the service may answer to bad input, and the counting of what it did."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import ERROR_TABLE
from tests.reliability.harness import Run
from tests.rpc.in_process import CallEnded

BY_REASON: Final = {row.reason: row for row in ERROR_TABLE.values()}
# Reasons that say that the service, or its disk, is at fault: no input may bring them about.
_FAULTS: Final = frozenset(
    ERROR_TABLE[reason].reason
    for reason in (
        errors_pb2.ERROR_REASON_INTERNAL_FAULT,
        errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN,
        errors_pb2.ERROR_REASON_LOG_CORRUPT,
        errors_pb2.ERROR_REASON_LOG_UNAVAILABLE,
    )
)

_CORRUPT: Final = ERROR_TABLE[errors_pb2.ERROR_REASON_LOG_CORRUPT].reason
_STOPPED: Final = ERROR_TABLE[errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN].reason

UNDOCUMENTED = "undocumented answers"
FAULTS = "faults of the service"
CHANGED = "changes by what was refused"
STATES = "states that are not those of their log"
HANGS = "calls without an end"
SERVED = "broken logs that were served"
PROMISED: Final = (UNDOCUMENTED, FAULTS, CHANGED, STATES, HANGS)


def judge_status(run: Run, status: status_pb2.Status, told: str, *, may_stop: bool = False) -> str:
    """Counts a refusal; returns its reason.

    A service that finds while it runs that its log makes no sense may stop: `may_stop`.
    """
    info = error_details_pb2.ErrorInfo()
    try:
        for detail in status.details:
            detail.Unpack(info)
    except DecodeError:
        run.violation(UNDOCUMENTED, f"{told}: details that cannot be read: {status}")
    row = BY_REASON.get(info.reason)
    if row is None or row.code != status.code or info.domain != "gapless":
        run.violation(UNDOCUMENTED, f"{told}: {status}")
    elif set(row.metadata_keys) - info.metadata.keys():
        run.violation(UNDOCUMENTED, f"{told}: metadata is missing: {status}")
    elif info.reason in _FAULTS and not (may_stop and info.reason == _STOPPED):
        run.violation(FAULTS, f"{told}: {status.message}")
    run.count("refused")
    return info.reason


async def judge_start(run: Run, call: Awaitable[bytes], chain_fits: bool) -> bool:
    """Counts what the first call of a namespace led to; returns whether its log is served."""
    try:
        await call
    except CallEnded as ended:
        info = error_details_pb2.ErrorInfo()
        ended.status.details[0].Unpack(info)
        if info.reason != _CORRUPT:
            judge_status(run, ended.status, "the start of a log")
            return _served(run, chain_fits)
        run.count("logs refused")
        return False
    except Exception as error:
        run.violation(FAULTS, f"the start of a log: {error!r}")
        return False
    return _served(run, chain_fits)


def _served(run: Run, chain_fits: bool) -> bool:
    if not chain_fits:
        run.violation(SERVED, "a log whose chain does not fit")
    return True
