"""Short ways to say the commands and reads of locks, for the tests of that kind."""

from __future__ import annotations

from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import (
    AcquireLockRequest,
    GetLockRequest,
    ListLocksRequest,
    Lock,
    LockGuard,
    ReleaseLockRequest,
    RenewLockRequest,
)
from tests.core.story import Story

DOOR = "door"
ANN = "ann"
BOB = "bob"


def acquire(
    lock_id: str = DOOR, holder_id: str = ANN, ttl_seconds: int = 10, wait_seconds: int = 0
) -> AcquireLockRequest:
    return AcquireLockRequest(
        lock_id=lock_id, holder_id=holder_id, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds
    )


def renew(token: int, ttl_seconds: int | None = None, lock_id: str = DOOR) -> RenewLockRequest:
    return RenewLockRequest(lock_id=lock_id, fencing_token=token, ttl_seconds=ttl_seconds)


def release(
    token: int, lock_id: str = DOOR, *, fail_if_unchanged: bool = False
) -> ReleaseLockRequest:
    return ReleaseLockRequest(
        lock_id=lock_id, fencing_token=token, fail_if_unchanged=fail_if_unchanged
    )


def held(token: int, lock_id: str = DOOR) -> Guard:
    return Guard(lock=LockGuard(lock_id=lock_id, fencing_token=token))


def token_of(story: Story, command: AcquireLockRequest) -> int:
    """Acquires a lock, which must be free, and returns its fencing token."""
    token: int = story.when(command).lock.fencing_token
    return token


def lock_of(story: Story, lock_id: str = DOOR) -> Lock | None:
    """Returns a lock as a reader sees it; None while nobody holds it."""
    answer = story.read(GetLockRequest(lock_id=lock_id))
    return answer.lock if answer.HasField("lock") else None


def listed(story: Story, holder_id: str = "", prefix: str = "") -> list[str]:
    """Returns the ids of the locks on all pages of a list."""
    request = ListLocksRequest(holder_id=holder_id, lock_id_prefix=prefix, page_size=2)
    found: list[str] = []
    while True:
        page = story.read(request)
        found += [lock.lock_id for lock in page.locks]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
