"""Holding a lock with threads; ``gapless._async`` has the same for asyncio, written by hand."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gapless._holds import Hold
from gapless.errors import GaplessError
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import AcquireLockResponse, Lock, RenewLockResponse

Acquire = Callable[[], AcquireLockResponse]
# Both take the fencing token, and how many seconds there are for the call.
Renew = Callable[[int, float], RenewLockResponse]
Release = Callable[[int, float], object]


class HeldLock:
    """A lock that is held while its block runs, and renewed for as long by a thread of its own.

    A thread can not be broken off from outside: if the lock is lost, LockLostError is raised the
    next time that the block asks for ``guard``, and where it ends.
    """

    def __init__(
        self,
        acquire: Acquire,
        renew: Renew,
        release: Release,
        *,
        timeout_seconds: float,
        renew_at_once: bool,
    ) -> None:
        """Nothing is acquired yet.

        Args:
            acquire: acquires the lock.
            renew: renews it once.
            release: releases it.
            timeout_seconds: for how long a block waits at most when it begins, beside the time to
                acquire, and when it ends.
            renew_at_once: the answer does not tell when the time to live began.
        """
        self._acquire = acquire
        self._renew = renew
        self._release = release
        self._timeout_seconds = timeout_seconds
        self._renew_at_once = renew_at_once
        self._hold: Hold | None = None
        self._ended: threading.Event | None = None

    @property
    def guard(self) -> Guard:
        """The guard for commands that are to be run only while the lock is held.

        Raises LockLostError if it is lost.
        """
        hold = self._held()
        hold.check(time.monotonic())
        return hold.guard

    @property
    def lock(self) -> Lock:
        """The lock as of its last renewal."""
        return self._held().lock

    @property
    def fencing_token(self) -> int:
        """The number of this holding, larger than that of every earlier one."""
        return self._held().lock.fencing_token

    def _held(self) -> Hold:
        if self._hold is None:
            raise RuntimeError("the lock is not held yet: use `with`")
        return self._hold

    def __enter__(self) -> Self:
        sent_time = time.monotonic()
        response = self._acquire()
        hold = self._hold = Hold(response.lock, sent_time)
        if self._renew_at_once or response.receipt.replayed:
            self._renew_at_first(hold)
        # One for each holding: the thread of an earlier one may still be about to end.
        self._ended = threading.Event()
        # A daemon: it must not keep a process alive whose block never ends.
        threading.Thread(
            target=self._keep,
            args=(hold, self._ended),
            name=f"renew lock {hold.lock.lock_id}",
            daemon=True,
        ).start()
        return self

    def _renew_at_first(self, hold: Hold) -> None:
        try:
            self._renew_within(hold, min(hold.lock.ttl_seconds, self._timeout_seconds))
        except BaseException:
            # There will be no block to hold it for.
            with contextlib.suppress(GaplessError):
                self._release(hold.lock.fencing_token, hold.lock.ttl_seconds)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        hold = self._held()
        # A renewal that is under way comes before the release; the thread ends after it.
        if self._ended is not None:
            self._ended.set()
        seconds = hold.seconds_sure(time.monotonic())
        if hold.lost is None and seconds > 0:
            # If it can not be released, it ends by itself.
            with contextlib.suppress(GaplessError):
                self._release(hold.lock.fencing_token, min(seconds, self._timeout_seconds))
            return
        lost = hold.lose()
        if error is None:
            raise lost

    def _keep(self, hold: Hold, ended: threading.Event) -> None:
        """Renews the lock until it is lost or the block ends."""
        while hold.lost is None:
            if ended.wait(hold.seconds_before_renewal(time.monotonic())):
                return
            self._try_to_renew(hold)

    def _try_to_renew(self, hold: Hold) -> None:
        seconds = hold.seconds_sure(time.monotonic())
        if seconds <= 0:
            hold.lose()
            return
        try:
            self._renew_within(hold, seconds)
        except GaplessError as error:
            hold.renewal_failed(error, time.monotonic())

    def _renew_within(self, hold: Hold, seconds: float) -> None:
        sent_time = time.monotonic()
        response = self._renew(hold.lock.fencing_token, seconds)
        hold.renewed(response.lock, sent_time)
