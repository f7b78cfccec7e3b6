"""Locks: acquire, keep, release and read them."""

from __future__ import annotations

import dataclasses
from typing import Final

from gapless._async._calls import Calls
from gapless._async._hold_calls import HoldCalls
from gapless._async._holding import AsyncHeldLock
from gapless._async._paging import AsyncPager
from gapless._async.events import Events
from gapless._commands import CommandKind
from gapless._holds import default_holder_id
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.locks_pb2 import (
    AcquireLockRequest,
    AcquireLockResponse,
    GetLockRequest,
    GetLockResponse,
    ListLocksRequest,
    ListLocksResponse,
    Lock,
    ReleaseLockRequest,
    ReleaseLockResponse,
    RenewLockRequest,
    RenewLockResponse,
)

_ACQUIRE: Final = CommandKind("acquire_lock", AcquireLockResponse)
_RENEW: Final = CommandKind("renew_lock", RenewLockResponse)
_RELEASE: Final = CommandKind("release_lock", ReleaseLockResponse)
_GET: Final = QueryKind("LockService.GetLock", GetLockResponse)
_LIST: Final = QueryKind("LockService.ListLocks", ListLocksResponse)

TTL_SECONDS: Final = 30


class Locks:
    """Who alone may do something; reached as ``client.locks``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def hold(
        self,
        lock_id: str,
        *,
        holder_id: str | None = None,
        ttl: int = TTL_SECONDS,
        wait: int = 0,
        timeout: float | None = None,
    ) -> AsyncHeldLock:
        """Holds a lock for as long as an ``async with`` block runs, and renews it meanwhile.

        The lock is a guard: what is sent through ``client.with_guards(lock)``, or in a
        ``client.batch(guards=[lock])``, is refused by the service once the lock is lost.
        Holding it again is another guard, which needs other request ids: see `with_guards`.

        A renewal that fails in passing is tried again for as long as the lock is surely held,
        whatever the client's `max_attempts`. Where the block ends the lock is released, which takes
        the client's timeout at most: what can not be released ends by its time to live.

        If entering is broken off, or fails with an error whose ``outcome_unknown`` is True, what
        was acquired all the same is given back, without anybody waiting for it, as long as the
        client is open; closing it waits for that, for 2 seconds at most.

        Args:
            lock_id: which lock; any name, at most 128 characters.
            holder_id: what others are told. None: the names of this machine and process.
            ttl: how many seconds it lives if this process goes silent, 1 to 86,400. It is
                renewed three times as often.
            wait: how many seconds to wait for it while somebody else holds it, up to 3,600.
            timeout: seconds for all attempts to acquire it. None: the client's, and `wait`.

        Raises:
            LockHeld: on entering, if somebody else holds it, also after the wait.
            LockNotHeld: on entering, if it was lost right away.
            LockLostError: in the block or at its end, if the lock is lost meanwhile.
            GaplessError: on entering, any other failure.
        """
        holder = default_holder_id() if holder_id is None else holder_id
        # Whatever else this client guards its commands with is about acquiring the lock only; and
        # a lock that is held is kept for as long as its time allows, however often that fails.
        options = dataclasses.replace(self._calls.options, guards=(), attempts_max=None)
        calls = Calls(self._calls.connection, options)
        keeping, events = Locks(calls), Events(calls)
        return AsyncHeldLock(
            HoldCalls(
                acquire=lambda request_id: self.acquire(
                    lock_id, holder, ttl=ttl, wait=wait, request_id=request_id, timeout=timeout
                ),
                renew=lambda token, seconds: keeping.renew(lock_id, token, timeout=seconds),
                release=lambda token, seconds: keeping.release(lock_id, token, timeout=seconds),
                get_request=lambda request_id, seconds: events.get_request(
                    request_id, timeout=seconds
                ),
                ttl_seconds=ttl,
                timeout_seconds=options.timeout_seconds,
            ),
            calls.connection.give_backs,
            waits=wait > 0,
        )

    async def acquire(
        self,
        lock_id: str,
        holder_id: str,
        *,
        ttl: int = TTL_SECONDS,
        wait: int = 0,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AcquireLockResponse:
        """Acquires a lock, once. `hold` renews and releases it as well.

        Args:
            lock_id: which lock; any name, at most 128 characters.
            holder_id: who is to hold it: what others are told.
            ttl: after how many seconds it ends if it is not renewed, 1 to 86,400.
            wait: how many seconds to wait for it while it is held, up to 3,600; those who wait
                get it in the order in which they asked.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's, and `wait`.

        Returns:
            The lock, with its fencing token, and the receipt.

        Raises:
            LockHeld: it is held, also by this holder, and still is after the wait.
            GaplessError: any other failure.
        """
        request = AcquireLockRequest(
            request_id=new_request_id() if request_id is None else request_id,
            lock_id=lock_id,
            holder_id=holder_id,
            ttl_seconds=ttl,
            wait_seconds=wait,
        )
        if not wait:
            return await self._calls.submit(_ACQUIRE, request, timeout)
        return await self._calls.submit_alone(_ACQUIRE, request, timeout, wait)

    async def renew(
        self,
        lock_id: str,
        fencing_token: int,
        *,
        ttl: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RenewLockResponse:
        """Makes a lock end a ttl from now. One that lasts longer: ``changed`` is False.

        Args:
            lock_id: which lock.
            fencing_token: the token that it was acquired with.
            ttl: in how many seconds it ends, 1 to 86,400. None: as last time.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The lock and the receipt.

        Raises:
            LockNotHeld: the lock is not held with this token.
            GaplessError: any other failure.
        """
        request = RenewLockRequest(
            request_id=new_request_id() if request_id is None else request_id,
            lock_id=lock_id,
            fencing_token=fencing_token,
            ttl_seconds=ttl,
        )
        return await self._calls.submit(_RENEW, request, timeout)

    async def release(
        self,
        lock_id: str,
        fencing_token: int,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReleaseLockResponse:
        """Gives a lock back. Not held with this token: ``changed`` is False.

        Args:
            lock_id: which lock.
            fencing_token: the token that it was acquired with.
            fail_if_unchanged: raise LockNotHeld if it is not held with this token.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The receipt.

        Raises:
            LockNotHeld: the lock is not held with this token, and that was to fail.
            GaplessError: any other failure.
        """
        request = ReleaseLockRequest(
            request_id=new_request_id() if request_id is None else request_id,
            lock_id=lock_id,
            fencing_token=fencing_token,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_RELEASE, request, timeout)

    async def get(self, lock_id: str, *, timeout: float | None = None) -> Lock | None:
        """Returns a lock that somebody holds, or None if nobody does.

        Args:
            lock_id: which lock.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            GaplessError: any failure.
        """
        response = await self._calls.query(_GET, GetLockRequest(lock_id=lock_id), timeout)
        return response.lock if response.HasField("lock") else None

    def list(
        self,
        *,
        holder_id: str | None = None,
        lock_id_prefix: str | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[Lock]:
        """Lists the locks that are held, by id.

        Args:
            holder_id: only those of this holder. None: of all.
            lock_id_prefix: only those whose id begins with this. None: all.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListLocksRequest(
            holder_id=holder_id or "",
            lock_id_prefix=lock_id_prefix or "",
            page_size=page_size or 0,
        )
        return AsyncPager(self._calls, _LIST, request, lambda page: page.locks, timeout)
