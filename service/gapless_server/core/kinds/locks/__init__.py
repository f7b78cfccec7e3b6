"""Locks: who holds which name, until when, under which fencing token; one holder at a time."""

from gapless.v1 import locks_pb2, restores_pb2
from gapless_server.core.kernel import Expiry, Kind
from gapless_server.core.kinds.locks import commands, events, queries
from gapless_server.core.kinds.locks.audit import LockAuditor
from gapless_server.core.kinds.locks.tables import KIND_NAME, LockTables

__all__ = ["KIND"]

KIND = Kind(
    name=KIND_NAME,
    tables=(LockTables,),
    commands={
        locks_pb2.AcquireLockRequest: commands.acquire,
        locks_pb2.RenewLockRequest: commands.renew,
        locks_pb2.ReleaseLockRequest: commands.release,
    },
    guards={locks_pb2.LockGuard: queries.is_held},
    events={
        locks_pb2.LockAcquired: events.acquired,
        locks_pb2.LockRenewed: events.renewed,
        locks_pb2.LockReleased: events.ended,
        locks_pb2.LockExpired: events.ended,
        restores_pb2.LogRestored: events.all_ended,
    },
    frees={
        locks_pb2.LockReleased: lambda event: commands.line_of(event.lock_id),
        locks_pb2.LockExpired: lambda event: commands.line_of(event.lock_id),
    },
    expiry=Expiry(events.held_locks, events.end_of, events.expired),
    timed_queries={
        locks_pb2.GetLockRequest: queries.get,
        locks_pb2.ListLocksRequest: queries.list_locks,
    },
    auditors=(LockAuditor,),
)
