"""Holding a lock with threads; ``gapless._async`` has the same for asyncio, written by hand."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from gapless._holds import Hold, may_come_to_pass, may_have_acquired
from gapless._request_ids import new_request_id
from gapless._sync._giving_back import GiveBacks
from gapless._sync._hold_calls import HoldCalls
from gapless.errors import GaplessError
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import Lock


class HeldLock:
    """A lock that is held while its block runs, and renewed for as long by a thread of its own.

    A thread can not be broken off from outside: if the lock is lost, LockLostError is raised the
    next time that the block asks for ``guard``, and where it ends.
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
        request_id = new_request_id()
        acquired = False
        try:
            sent_time = time.monotonic()
            response = self._calls.acquire(request_id)
            acquired = True
            hold = self._hold = Hold(response.lock, sent_time)
            if self._waits or response.receipt.replayed:
                self._renew_within(hold, min(hold.lock.ttl_seconds, self._calls.timeout_seconds))
            self._begin_to_keep(hold)
        except BaseException as error:
            # There will be no block to hold it for.
            if acquired or may_have_acquired(error):
                self._give_backs.start(lambda: self._calls.give_back(request_id))
            raise
        return self

    def _begin_to_keep(self, hold: Hold) -> None:
        # One for each holding: the thread of an earlier one may still be about to end.
        self._ended = threading.Event()
        # A daemon: it must not keep a process alive whose block never ends.
        threading.Thread(
            target=self._keep,
            args=(hold, self._ended),
            name=f"renew lock {hold.lock.lock_id}",
            daemon=True,
        ).start()

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
            self._release(hold, min(seconds, self._calls.timeout_seconds))
            return
        lost = hold.lose()
        if hold.may_be_held:
            self._release_late(hold)
        if error is None:
            raise lost

    def _release(self, hold: Hold, seconds: float) -> None:
        try:
            self._calls.release(hold.lock.fencing_token, seconds)
        except GaplessError as error:
            # Nobody has to wait for it: if it can not be released, it ends by itself.
            if may_come_to_pass(error):
                self._release_late(hold)

    def _release_late(self, hold: Hold) -> None:
        self._give_backs.start(lambda: self._calls.release_late(hold.lock.fencing_token))

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
        response = self._calls.renew(hold.lock.fencing_token, seconds)
        hold.renewed(response.lock, sent_time)
