"""Evolves the locks by what happened to them, and ends those whose time to live is over."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gapless.v1 import locks_pb2, restores_pb2
from gapless_server.core.alarms import Thing
from gapless_server.core.kinds.locks.tables import (
    ALL,
    KIND_NAME,
    LockRow,
    LockTables,
    end_uptime_us,
    find_lock,
    new_lock,
)
from gapless_server.core.state import Moment, State


def acquired(state: State, event: locks_pb2.LockAcquired, moment: Moment) -> None:
    """A lock was given to a holder."""
    tables, row = state.of(LockTables), new_lock(event, moment)
    tables.locks.put(ALL, event.lock_id, row)
    tables.by_holder.put(event.holder_id, event.lock_id, event.fencing_token)
    tables.tokens.put("", event.fencing_token)
    state.alarms.set(Thing(KIND_NAME, event.lock_id), row.end_uptime_us)


def renewed(state: State, event: locks_pb2.LockRenewed, moment: Moment) -> None:
    """A lock ends later. Its alarm stays: that asks again when it comes."""
    row = msgspec.structs.replace(
        _held(state, event.lock_id),
        ttl_seconds=event.ttl_seconds,
        end_uptime_us=end_uptime_us(moment, event.ttl_seconds),
    )
    state.of(LockTables).locks.put(ALL, event.lock_id, row)


def ended(
    state: State, event: locks_pb2.LockReleased | locks_pb2.LockExpired, _moment: Moment
) -> None:
    """A lock is free."""
    tables = state.of(LockTables)
    tables.locks.delete(ALL, event.lock_id)
    tables.by_holder.delete(event.holder_id, event.lock_id)
    state.alarms.drop(Thing(KIND_NAME, event.lock_id))


def all_ended(state: State, _event: restores_pb2.LogRestored, _moment: Moment) -> None:
    """Every lock is free: in the history that a restore drops, others may have got them since."""
    tables = state.of(LockTables)
    for lock_id, row in list(tables.locks.scan(ALL)):
        tables.locks.delete(ALL, lock_id)
        tables.by_holder.delete(row.holder_id, lock_id)
        state.alarms.drop(Thing(KIND_NAME, lock_id))


def held_locks(state: State) -> Iterator[str]:
    """Yields every lock that is held."""
    return (lock_id for lock_id, _row in state.of(LockTables).locks.scan(ALL))


def end_of(state: State, lock_id: str) -> int | None:
    """Returns the uptime at which a lock ends; None if nobody holds it."""
    row = find_lock(state, lock_id)
    return None if row is None else row.end_uptime_us


def expired(state: State, lock_id: str) -> locks_pb2.LockExpired:
    """Returns the event that ends a lock which was not renewed in time."""
    row = _held(state, lock_id)
    return locks_pb2.LockExpired(
        lock_id=lock_id, holder_id=row.holder_id, fencing_token=row.fencing_token
    )


def _held(state: State, lock_id: str) -> LockRow:
    row = find_lock(state, lock_id)
    assert row is not None  # decided on a lock that is held
    return row
