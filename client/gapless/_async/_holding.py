"""Holding a lock on asyncio; ``gapless._sync`` has the same for threads, written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from gapless._holds import Hold
from gapless.errors import GaplessError
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import AcquireLockResponse, Lock, RenewLockResponse

Acquire = Callable[[], Awaitable[AcquireLockResponse]]
# Both take the fencing token, and how many seconds there are for the call.
Renew = Callable[[int, float], Awaitable[RenewLockResponse]]
Release = Callable[[int, float], Awaitable[object]]


class AsyncHeldLock:
    """A lock that is held while its block runs, and renewed for as long.

    If it is lost, the task that runs the block is cancelled, and LockLostError is raised where the
    block ends: at once, unless the block does not wait for anything.
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
        self._task: asyncio.Task[object] | None = None
        self._cancelling_before = 0
        # Whether the task was cancelled from here, since the lock is lost.
        self._broken_off = False
        self._renewing: asyncio.Task[None] | None = None
        # What is still to be done for an entering that was broken off.
        self._giving_back: set[asyncio.Future[Any]] = set()

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
            raise RuntimeError("the lock is not held yet: use `async with`")
        return self._hold

    async def __aenter__(self) -> Self:
        hold = self._hold = await self._entered()
        self._task = asyncio.current_task()
        assert self._task is not None  # a coroutine runs in one
        self._cancelling_before = self._task.cancelling()
        self._broken_off = False
        self._renewing = asyncio.create_task(self._keep(hold), name="renew a lock")
        return self

    async def _entered(self) -> Hold:
        """Acquires the lock. If that is broken off, nobody is left to hold it: it is given back."""
        sent_time = time.monotonic()
        acquiring = asyncio.ensure_future(self._acquire())
        try:
            response = await asyncio.shield(acquiring)
        except asyncio.CancelledError:
            self._giving_back.add(acquiring)
            acquiring.add_done_callback(self._give_back)
            raise
        hold = Hold(response.lock, sent_time)
        if self._renew_at_once or response.receipt.replayed:
            try:
                await self._renew_within(hold, min(hold.lock.ttl_seconds, self._timeout_seconds))
            except BaseException:
                self._give_back(acquiring)
                raise
        return hold

    def _give_back(self, acquiring: asyncio.Future[AcquireLockResponse]) -> None:
        """Releases what was acquired, in a task of its own, if it was."""
        self._giving_back.discard(acquiring)
        if acquiring.cancelled() or acquiring.exception() is not None:
            return
        releasing = asyncio.create_task(self._give_free(acquiring.result().lock))
        self._giving_back.add(releasing)
        releasing.add_done_callback(self._giving_back.discard)

    async def _give_free(self, lock: Lock) -> None:
        # If it can not be released, it ends by itself.
        with contextlib.suppress(GaplessError):
            await self._release(lock.fencing_token, lock.ttl_seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._renewing is not None
        assert self._task is not None
        hold = self._held()
        self._renewing.cancel()
        seconds = hold.seconds_sure(time.monotonic())
        if hold.lost is None and seconds > 0:
            # If it can not be released, it ends by itself.
            with contextlib.suppress(GaplessError):
                await self._release(hold.lock.fencing_token, min(seconds, self._timeout_seconds))
            return
        lost = hold.lose()
        # As asyncio.timeout does it: a cancellation that came from here ends here, no other.
        ours = self._broken_off and self._task.uncancel() <= self._cancelling_before
        if error is None or (ours and isinstance(error, asyncio.CancelledError)):
            raise lost from error

    async def _keep(self, hold: Hold) -> None:
        """Renews the lock until it is lost."""
        while hold.lost is None:
            await asyncio.sleep(hold.seconds_before_renewal(time.monotonic()))
            await self._try_to_renew(hold)
        assert self._task is not None
        self._broken_off = True
        self._task.cancel()

    async def _try_to_renew(self, hold: Hold) -> None:
        seconds = hold.seconds_sure(time.monotonic())
        if seconds <= 0:
            hold.lose()
            return
        try:
            await self._renew_within(hold, seconds)
        except GaplessError as error:
            hold.renewal_failed(error, time.monotonic())

    async def _renew_within(self, hold: Hold, seconds: float) -> None:
        sent_time = time.monotonic()
        response = await self._renew(hold.lock.fencing_token, seconds)
        hold.renewed(response.lock, sent_time)
