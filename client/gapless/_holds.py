"""What both colours know about holding a lock: when to renew it, and when it counts as lost.

All times are those of ``time.monotonic()``. A holding counts from when the request was sent that
began or renewed it, which is before the service began to count: so the holder thinks it lost no
later than the service does.
"""

from __future__ import annotations

import os
import socket
from typing import Final

import grpc

from gapless._error_base import GaplessError, RetryAdvice
from gapless._retry import is_retryable
from gapless.errors import LockNotHeld
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import Lock, LockGuard

# A renewal that fails can be tried twice more before the time is over.
RENEWALS_PER_TTL: Final = 3
# Before a renewal that failed in passing is tried again, beyond what its call has waited already.
RENEWAL_PAUSE_SECONDS: Final = 0.1

_HOLDER_CHARACTERS_MAX: Final = 128


class LockLostError(GaplessError):
    """A lock that this process held is held no longer, or may not be: stop what it is for.

    The service refuses whatever still comes under the lock's guard.
    """

    code = grpc.StatusCode.FAILED_PRECONDITION
    retry_advice = RetryAdvice.NEVER


def default_holder_id() -> str:
    """The name of this process: that of the machine, and its number there."""
    process = f":{os.getpid()}"
    return socket.gethostname()[: _HOLDER_CHARACTERS_MAX - len(process)] + process


def may_have_acquired(error: BaseException) -> bool:
    """Whether the lock may be held, or come to be, though acquiring it ended so."""
    if isinstance(error, GaplessError):
        return error.outcome_unknown
    # A mistake in the arguments is found before anything is sent; all else broke it off.
    return not isinstance(error, (TypeError, ValueError))


def may_come_to_pass(error: GaplessError) -> bool:
    """Whether a renewal or release that ended so is worth another one."""
    return is_retryable(error) or error.outcome_unknown


class Hold:
    """One holding of a lock."""

    def __init__(self, lock: Lock, sent_time: float) -> None:
        self.lock = lock
        self.lost: LockLostError | None = None
        self._sent_time = sent_time
        # Not before, since a renewal has failed just now.
        self._pause_end = 0.0
        # False once the service has said that it is not; what is lost here may be held there.
        self.may_be_held = True

    @property
    def guard(self) -> Guard:
        """The guard that holds for as long as the lock is held."""
        return Guard(
            lock=LockGuard(lock_id=self.lock.lock_id, fencing_token=self.lock.fencing_token)
        )

    def renewed(self, lock: Lock, sent_time: float) -> None:
        """Takes note of a renewal."""
        self.lock = lock
        self._sent_time = sent_time

    def seconds_before_renewal(self, now: float) -> float:
        """How long to wait before the next renewal; 0 if it is due."""
        due = self._sent_time + self.lock.ttl_seconds / RENEWALS_PER_TTL
        return max(0.0, max(due, self._pause_end) - now)

    def seconds_sure(self, now: float) -> float:
        """For how long the lock is surely held; 0 or less if it may have ended."""
        return self._sent_time + self.lock.ttl_seconds - now

    def renewal_failed(self, error: GaplessError, now: float) -> None:
        """Counts the lock as lost, unless it is still held and a renewal may come to pass."""
        if self.seconds_sure(now) > 0 and may_come_to_pass(error):
            self._pause_end = now + RENEWAL_PAUSE_SECONDS
        else:
            self.lose(error)

    def lose(self, cause: GaplessError | None = None) -> LockLostError:
        """Counts the lock as lost, for a refusal or because its time is over."""
        if self.lost is None:
            self.may_be_held = not isinstance(cause, LockNotHeld)
            why = cause.message if cause is not None else "it was not renewed in time"
            self.lost = LockLostError(
                f"lock {self.lock.lock_id}, acquired with fencing token"
                f" {self.lock.fencing_token}, is lost: {why}"
            )
        return self.lost

    def check(self, now: float) -> None:
        """Raises LockLostError if the lock is lost."""
        if self.lost is None and self.seconds_sure(now) <= 0:
            self.lose()
        if self.lost is not None:
            raise self.lost
