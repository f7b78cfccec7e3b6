"""Holding a lock on asyncio; ``gapless._sync`` has the same for threads, written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

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
        self, acquire: Acquire, renew: Renew, release: Release, *, renew_at_once: bool
    ) -> None:
        """`renew_at_once`: the answer does not tell when the time to live began."""
        self._acquire = acquire
        self._renew = renew
        self._release = release
        self._renew_at_once = renew_at_once
        self._hold: Hold | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling_before = 0
        self._renewing: asyncio.Task[None] | None = None

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
        sent_time = time.monotonic()
        response = await self._acquire()
        hold = self._hold = Hold(response.lock, sent_time)
        if self._renew_at_once or response.receipt.replayed:
            await self._renew_within(hold, hold.lock.ttl_seconds)
        self._task = asyncio.current_task()
        assert self._task is not None  # a coroutine runs in one
        self._cancelling_before = self._task.cancelling()
        self._renewing = asyncio.create_task(self._keep(hold), name="renew a lock")
        return self

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
                await self._release(hold.lock.fencing_token, seconds)
            return
        lost = hold.lose()
        # As asyncio.timeout does it: a cancellation that came from here ends here.
        ours = self._task.uncancel() <= self._cancelling_before
        if error is None or (ours and isinstance(error, asyncio.CancelledError)):
            raise lost from error

    async def _keep(self, hold: Hold) -> None:
        """Renews the lock until it is lost."""
        while hold.lost is None:
            await asyncio.sleep(hold.seconds_before_renewal(time.monotonic()))
            await self._try_to_renew(hold)
        assert self._task is not None
        self._task.cancel()

    async def _try_to_renew(self, hold: Hold) -> None:
        seconds = hold.seconds_sure(time.monotonic())
        if seconds <= 0:
            hold.lose()
            return
        try:
            await self._renew_within(hold, seconds)
        except GaplessError as error:
            # It is not held, or what is worth trying again was tried for as long as it surely was.
            hold.lose(error)

    async def _renew_within(self, hold: Hold, seconds: float) -> None:
        sent_time = time.monotonic()
        response = await self._renew(hold.lock.fencing_token, seconds)
        hold.renewed(response.lock, sent_time)
