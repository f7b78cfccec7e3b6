"""Decides who gets a lock, keeps it, and gives it back."""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2, locks_pb2
from gapless_server.core.kernel import Context, Decision, MustWait
from gapless_server.core.kinds.locks.tables import (
    LockRow,
    LockTables,
    end_uptime_us,
    find_lock,
    lock_resource,
    new_lock,
    require_held,
)
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.state import Moment, State
from gapless_server.core.times import MICROSECONDS, to_timestamp


def line_of(lock_id: str) -> str:
    """Returns the name of the line in which commands wait for a lock."""
    return f"lock {lock_id}"


def _held(lock_id: str, row: LockRow, now: Moment) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_LOCK_HELD,
        retry_after_seconds=max(0, row.end_uptime_us - now.uptime_us) / MICROSECONDS,
        lock_id=lock_id,
        holder_id=row.holder_id,
        expire_time=to_timestamp(now.time_at(row.end_uptime_us)).ToJsonString(),
    )


def _next_token(state: State, moment: Moment) -> int:
    """Returns a token larger than all before it, in this log and in one that it was restored over.

    Within a log the newest token is remembered. A restore forgets the tokens of the history that
    it drops, but its clock is past the commit times there, and no token is ahead of those, except
    by as many as were given within the same microsecond.
    """
    newest = state.of(LockTables).tokens.get("") or 0
    return max(newest + 1, moment.time_us)


def acquire(state: State, command: locks_pb2.AcquireLockRequest, context: Context) -> Decision:
    """Gives the lock if it is free. Raises Refused or, if the command is to wait, MustWait."""
    if command.wait_seconds and not context.may_wait:
        raise invalid_field(
            "wait_seconds",
            "must be 0 in a batch and in a frame; to wait, send it by itself",
        )
    lock_id, moment = command.lock_id, context.moment
    row = find_lock(state, lock_id)
    if row is not None:
        refusal = _held(lock_id, row, moment)
        if command.wait_seconds:
            raise MustWait(line_of(lock_id), command.wait_seconds, refusal)
        raise refusal
    acquired = locks_pb2.LockAcquired(
        lock_id=lock_id,
        holder_id=command.holder_id,
        fencing_token=_next_token(state, moment),
        ttl_seconds=command.ttl_seconds,
    )
    lock = lock_resource(lock_id, new_lock(acquired, moment), moment)
    return Decision([acquired], locks_pb2.AcquireLockResponse(lock=lock))


def renew(state: State, command: locks_pb2.RenewLockRequest, context: Context) -> Decision:
    """Moves the end of a held lock, to later only."""
    lock_id, moment = command.lock_id, context.moment
    row = require_held(state, lock_id, command.fencing_token)
    ttl_seconds = command.ttl_seconds if command.HasField("ttl_seconds") else row.ttl_seconds
    end_us = end_uptime_us(moment, ttl_seconds)
    if end_us <= row.end_uptime_us:
        lock = lock_resource(lock_id, row, moment)
        return Decision([], locks_pb2.RenewLockResponse(lock=lock))
    renewed = locks_pb2.LockRenewed(
        lock_id=lock_id,
        holder_id=row.holder_id,
        fencing_token=row.fencing_token,
        ttl_seconds=ttl_seconds,
    )
    row = msgspec.structs.replace(row, ttl_seconds=ttl_seconds, end_uptime_us=end_us)
    lock = lock_resource(lock_id, row, moment)
    return Decision([renewed], locks_pb2.RenewLockResponse(lock=lock))


def release(state: State, command: locks_pb2.ReleaseLockRequest, _context: Context) -> Decision:
    """Ends the holding of a lock, if it is this one."""
    row = find_lock(state, command.lock_id)
    if row is None or row.fencing_token != command.fencing_token:
        if command.fail_if_unchanged:
            require_held(state, command.lock_id, command.fencing_token)
        return Decision([], locks_pb2.ReleaseLockResponse())
    released = locks_pb2.LockReleased(
        lock_id=command.lock_id, holder_id=row.holder_id, fencing_token=row.fencing_token
    )
    return Decision([released], locks_pb2.ReleaseLockResponse())
