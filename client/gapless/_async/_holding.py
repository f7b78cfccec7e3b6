"""Holding a lock on asyncio; ``gapless._sync`` has the same for threads, written by hand."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from gapless._async._giving_back import GiveBacks
from gapless._async._hold_calls import HoldCalls
from gapless._holds import Hold, may_come_to_pass, may_have_acquired
from gapless._request_ids import new_request_id
from gapless.errors import GaplessError
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import AcquireLockResponse, Lock


class AsyncHeldLock:
    """A lock that is held while its block runs, and renewed for as long.

    If it is lost, the task that runs the block is cancelled, and LockLostError is raised where the
    block ends: at once, unless the block does not wait for anything.
    """

    def __init__(self, calls: HoldCalls, give_backs: GiveBacks, *, waits: bool) -> None:
        """Nothing is acquired yet.

        Args:
            calls: what the service is asked.
            give_backs: those of the client.
            waits: acquiring may wait in the service; the answer does not tell when the time to
                live began, so the lock is renewed at once.
        """
        self._calls = calls
        self._give_backs = give_backs
        self._waits = waits
        self._hold: Hold | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling_before = 0
        # Whether the task was cancelled from here, since the lock is lost.
        self._broken_off = False
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
        hold = self._hold = await self._entered()
        self._task = asyncio.current_task()
        assert self._task is not None  # a coroutine runs in one
        self._cancelling_before = self._task.cancelling()
        self._broken_off = False
        self._renewing = asyncio.create_task(self._keep(hold), name="renew a lock")
        return self

    async def _entered(self) -> Hold:
        """Acquires the lock. If that is broken off, nobody is left to hold it: it is given back."""
        request_id = new_request_id()
        sent_time = time.monotonic()
        acquiring = asyncio.ensure_future(self._calls.acquire(request_id))
        try:
            response = await asyncio.shield(acquiring)
            hold = Hold(response.lock, sent_time)
            if self._waits or response.receipt.replayed:
                seconds = min(hold.lock.ttl_seconds, self._calls.timeout_seconds)
                await self._renew_within(hold, seconds)
        except (Exception, asyncio.CancelledError):
            if _may_have_acquired(acquiring):
                self._give_backs.start(lambda: self._give_back(acquiring, request_id))
            raise
        return hold

    async def _give_back(
        self, acquiring: asyncio.Future[AcquireLockResponse], request_id: str
    ) -> None:
        if self._waits:
            # Others are in line behind it.
            acquiring.cancel()
        await asyncio.wait([acquiring])
        if _may_have_acquired(acquiring):
            await self._calls.give_back(request_id)

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
            await self._release(hold, min(seconds, self._calls.timeout_seconds))
            return
        lost = hold.lose()
        if hold.may_be_held:
            self._release_late(hold)
        # As asyncio.timeout does it: a cancellation that came from here ends here, no other.
        ours = self._broken_off and self._task.uncancel() <= self._cancelling_before
        if error is None or (ours and isinstance(error, asyncio.CancelledError)):
            raise lost from error

    async def _release(self, hold: Hold, seconds: float) -> None:
        try:
            await self._calls.release(hold.lock.fencing_token, seconds)
        except GaplessError as error:
            # Nobody has to wait for it: if it can not be released, it ends by itself.
            if may_come_to_pass(error):
                self._release_late(hold)

    def _release_late(self, hold: Hold) -> None:
        self._give_backs.start(lambda: self._calls.release_late(hold.lock.fencing_token))

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
        response = await self._calls.renew(hold.lock.fencing_token, seconds)
        hold.renewed(response.lock, sent_time)


def _may_have_acquired(acquiring: asyncio.Future[AcquireLockResponse]) -> bool:
    """Whether the lock may be held, or come to be."""
    if not acquiring.done() or acquiring.cancelled():
        return True
    error = acquiring.exception()
    return error is None or may_have_acquired(error)
