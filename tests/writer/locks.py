"""Locks in a namespace without a service around it, under a clock that a test advances."""

from __future__ import annotations

import asyncio
import itertools

from gapless.v1.commands_pb2 import Command
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import (
    AcquireLockRequest,
    GetLockRequest,
    GetLockResponse,
    LockGuard,
    ReleaseLockRequest,
    RenewLockRequest,
)
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import Journal
from gapless_server.writer.clock import ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.queue import Frame
from gapless_server.writer.rounds import Outcome
from tests.writer.harness import KERNEL, entries, memory_journal, open_namespace, result, run

DOOR = "door"

_numbers = itertools.count()


def acquire(
    holder_id: str,
    ttl_seconds: int = 10,
    wait_seconds: int = 0,
    lock_id: str = DOOR,
    request_id: str = "",
) -> Command:
    request = AcquireLockRequest(
        request_id=request_id or f"acquire-{next(_numbers)}",
        lock_id=lock_id,
        holder_id=holder_id,
        ttl_seconds=ttl_seconds,
        wait_seconds=wait_seconds,
    )
    return Command(acquire_lock=request)


def renew(token: int, ttl_seconds: int | None = None) -> Command:
    request = RenewLockRequest(
        request_id=f"renew-{next(_numbers)}",
        lock_id=DOOR,
        fencing_token=token,
        ttl_seconds=ttl_seconds,
    )
    return Command(renew_lock=request)


def release(token: int) -> Command:
    request = ReleaseLockRequest(
        request_id=f"release-{next(_numbers)}", lock_id=DOOR, fencing_token=token
    )
    return Command(release_lock=request)


def guarded(command: Command, token: int) -> Command:
    """Returns the command, to be run only while the lock is held with the token."""
    command.guards.append(Guard(lock=LockGuard(lock_id=DOOR, fencing_token=token)))
    return command


def token_of(outcome: Outcome) -> int:
    """Returns the token of a lock that must have been acquired."""
    return result(outcome).acquire_lock.lock.fencing_token


class Door:
    """One lock of one namespace, and the clock that it lives by."""

    def __init__(self, namespace: Namespace, journal: Journal, clock: ManualClock) -> None:
        self.namespace = namespace
        self.journal = journal
        self.clock = clock

    @classmethod
    async def open(
        cls,
        journal: Journal | None = None,
        clock: ManualClock | None = None,
        limits: WriterLimits | None = None,
    ) -> Door:
        journal = journal or await memory_journal()
        clock = clock or ManualClock()
        namespace = await open_namespace(journal, clock=clock, limits=limits)
        return cls(namespace, journal, clock)

    async def restarted(self, clock: ManualClock | None = None) -> Door:
        """Returns the same log under another process, whose clock may show something else."""
        await self.namespace.drain()
        return await Door.open(self.journal, clock or ManualClock(self.clock.now_us()))

    async def run(self, command: Command) -> Outcome:
        """Runs a command in a frame, which may not wait."""
        [outcome] = await run(self.namespace, command)
        return outcome

    async def acquire(self, holder_id: str, ttl_seconds: int = 10) -> int:
        """Acquires the lock, which must be free, and returns its token."""
        return token_of(await self.run(acquire(holder_id, ttl_seconds)))

    def ask(self, command: Command, caller: str = "") -> asyncio.Future[list[Outcome]]:
        """Sends a command that may wait, as a unary call does."""
        frame = Frame([command], caller, command.ByteSize(), may_wait=True)
        self.namespace.submit(frame)
        return frame.outcomes

    async def holder(self) -> str:
        """Reads who holds the lock; empty if nobody does."""
        request = GetLockRequest(lock_id=DOOR)
        answer = await self.namespace.read(
            lambda state: KERNEL.query(state, request, PageLimits(), self.namespace.now())
        )
        assert isinstance(answer, GetLockResponse)
        return answer.lock.holder_id

    async def history(self) -> list[str]:
        """Tells from the log what has become of the lock, an event after another."""
        told = []
        for entry in await entries(self.namespace):
            for event in entry.events:
                name = str(event.WhichOneof("event"))
                if name.startswith("lock_"):
                    told.append(f"{name.removeprefix('lock_')} {getattr(event, name).holder_id}")
        return told


def refused(outcome: Outcome) -> Refused:
    """Returns why a command was refused, which it must have been."""
    assert isinstance(outcome, Refused), outcome
    return outcome
