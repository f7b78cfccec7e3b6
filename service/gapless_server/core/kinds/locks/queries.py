"""Reads locks, and checks that one is held. Never waits for a lock."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.v1 import locks_pb2
from gapless_server.core.kernel import Unmet
from gapless_server.core.kinds.locks.tables import (
    ALL,
    LockRow,
    LockTables,
    find_lock,
    found_holder,
    lock_resource,
    written_lock,
)
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.prefixes import scan_prefix
from gapless_server.core.state import Moment, State
from gapless_server.core.writing import Written


def get(
    state: State, request: locks_pb2.GetLockRequest, _limits: PageLimits, now: Moment
) -> locks_pb2.GetLockResponse:
    """Returns a lock, if somebody holds it."""
    row = find_lock(state, request.lock_id)
    if row is None:
        return locks_pb2.GetLockResponse()
    return locks_pb2.GetLockResponse(lock=lock_resource(request.lock_id, row, now))


def list_locks(
    state: State, request: locks_pb2.ListLocksRequest, limits: PageLimits, now: Moment
) -> Written:
    """Returns a page of the locks that are held."""
    rows = _wanted(state, request, after=read_token(request, str))

    def write(lock_id: str, row: LockRow) -> bytes:
        return written_lock(lock_id, row, now)

    return written_page(request, limits, rows, write, locks_pb2.ListLocksResponse, "locks")


def _wanted(
    state: State, request: locks_pb2.ListLocksRequest, after: str | None
) -> Iterator[tuple[str, LockRow]]:
    tables, prefix = state.of(LockTables), request.lock_id_prefix
    if not request.holder_id:
        yield from scan_prefix(tables.locks, ALL, prefix, after)
        return
    for lock_id, _token in scan_prefix(tables.by_holder, request.holder_id, prefix, after):
        row = find_lock(state, lock_id)
        assert row is not None  # both tables hold the same locks
        yield lock_id, row


def is_held(state: State, guard: locks_pb2.LockGuard) -> Unmet | None:
    """Returns None if the lock is held with the token of the guard."""
    row = find_lock(state, guard.lock_id)
    if row is not None and row.fencing_token == guard.fencing_token:
        return None
    return Unmet(f"lock {guard.lock_id}", f"fencing token {guard.fencing_token}", found_holder(row))
