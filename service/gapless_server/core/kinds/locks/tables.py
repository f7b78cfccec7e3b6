"""The rows and tables of locks."""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2, locks_pb2
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, PartitionedTable, State, Table, UndoLog
from gapless_server.core.times import MICROSECONDS, timestamp_bytes
from gapless_server.core.writing import writer

KIND_NAME = "locks"

_write_lock = writer(locks_pb2.Lock)

# All locks of a namespace are one partition, so that they can be listed in order.
ALL = ""


class LockRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A lock that is held."""

    holder_id: str
    fencing_token: int
    ttl_seconds: int
    acquire_time_us: int
    # In uptime, which never jumps: see writer/clock.py.
    end_uptime_us: int


class LockTables:
    """The locks that are held, by id and by holder, and the newest fencing token.

    1. Both tables always hold the same locks.
    2. A lock whose time to live is over is taken out by an event before anything is decided.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.locks: PartitionedTable[str, str, LockRow] = PartitionedTable(undo, LockRow)
        self.by_holder: PartitionedTable[str, str, int] = PartitionedTable(undo, int)
        self.tokens: Table[str, int] = Table(undo, int)


def find_lock(state: State, lock_id: str) -> LockRow | None:
    """Returns the row of a lock; None while nobody holds it."""
    return state.of(LockTables).locks.get(ALL, lock_id)


def end_uptime_us(moment: Moment, ttl_seconds: int) -> int:
    """Returns when a time to live that begins at a moment is over, in uptime."""
    return moment.uptime_us + ttl_seconds * MICROSECONDS


def new_lock(event: locks_pb2.LockAcquired, moment: Moment) -> LockRow:
    """Returns the row of a lock that was acquired at a moment."""
    return LockRow(
        holder_id=event.holder_id,
        fencing_token=event.fencing_token,
        ttl_seconds=event.ttl_seconds,
        acquire_time_us=moment.time_us,
        end_uptime_us=end_uptime_us(moment, event.ttl_seconds),
    )


def found_holder(row: LockRow | None) -> str:
    """Says who holds a lock, for a refusal."""
    if row is None:
        return "nobody holds it"
    return f"{row.holder_id} holds it with fencing token {row.fencing_token}"


def require_held(state: State, lock_id: str, fencing_token: int) -> LockRow:
    """Returns the row of a lock held with this token. Raises Refused, reason LOCK_NOT_HELD."""
    row = find_lock(state, lock_id)
    if row is None or row.fencing_token != fencing_token:
        raise Refused(
            errors_pb2.ERROR_REASON_LOCK_NOT_HELD,
            lock_id=lock_id,
            fencing_token=fencing_token,
            found=found_holder(row),
        )
    return row


def lock_resource(lock_id: str, row: LockRow, now: Moment) -> locks_pb2.Lock:
    """Returns a lock as clients see it at a moment."""
    return locks_pb2.Lock.FromString(written_lock(lock_id, row, now))


def written_lock(lock_id: str, row: LockRow, now: Moment) -> bytes:
    """Returns the same as its bytes."""
    return _write_lock(
        lock_id=lock_id,
        holder_id=row.holder_id,
        fencing_token=row.fencing_token,
        acquire_time=timestamp_bytes(row.acquire_time_us),
        expire_time=timestamp_bytes(now.time_at(row.end_uptime_us)),
        ttl_seconds=row.ttl_seconds,
    )
