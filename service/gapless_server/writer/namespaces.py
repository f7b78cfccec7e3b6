"""The open namespaces: opens them when needed, closes them when idle."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

import structlog

from gapless.v1 import errors_pb2
from gapless_server.checkpoint.port import CheckpointStore
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import JournalError, JournalStore
from gapless_server.writer.breath import Sharing
from gapless_server.writer.clock import Clock, LogClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.log_reader import journal_refusal
from gapless_server.writer.namespace import Namespace, OnRound
from gapless_server.writer.refused_starts import RefusedStarts

_log = structlog.get_logger()

# So many namespaces are closed at a time.
CLOSING_MAX = 8
# A service that stops writes last checkpoints for so long. Whoever comes later does without: its
# next start replays more, and the stop ends in time however many namespaces there are.
LAST_CHECKPOINTS_SECONDS_MAX = 4.0


@dataclass(frozen=True, slots=True)
class NamespaceLimits:
    """How many namespaces are open, and for how long; settings of the service."""

    namespaces_open_max: int = 1000
    idle_seconds: float = 300.0
    create_namespaces: bool = True


class Slot(AbstractContextManager[Namespace]):
    """A namespace that is open or being opened, and how many calls use it.

    Once it is open, a context of the slot is one use of it.
    """

    __slots__ = ("_namespace", "_time", "last_used", "opening", "users")

    def __init__(self, opening: asyncio.Task[Namespace]) -> None:
        self.opening = opening
        self.users = 0
        # Not the running loop: a use may end with the loop, when what was left is thrown away.
        self._time = opening.get_loop().time
        self.last_used = self._time()
        self._namespace: Namespace | None = None

    @property
    def is_open(self) -> bool:
        """Whether the namespace is open."""
        if self._namespace is None:
            opening = self.opening
            if not opening.done() or opening.cancelled() or opening.exception() is not None:
                return False
            self._namespace = opening.result()
        return True

    def used(self) -> Namespace:
        """Returns the namespace, which is open, for a use that awaits nothing."""
        assert self._namespace is not None
        self.last_used = self._time()
        return self._namespace

    async def opened(self) -> Slot:
        """Returns the slot once it is open."""
        self.users += 1
        try:
            # Shielded: a caller that goes away must not stop the opening for the others.
            self._namespace = await asyncio.shield(self.opening)
        finally:
            self._end_use()
        return self

    def __enter__(self) -> Namespace:
        assert self._namespace is not None
        self.users += 1
        return self._namespace

    def __exit__(self, *_error: object) -> None:
        self._end_use()

    def _end_use(self) -> None:
        self.users -= 1
        self.last_used = self._time()


class _Use(AbstractAsyncContextManager[Namespace]):
    """One use of a namespace; by hand, since as a generator it would cost 2 us more."""

    __slots__ = ("_name", "_namespaces", "_slot")

    def __init__(self, namespaces: Namespaces, name: str) -> None:
        self._namespaces = namespaces
        self._name = name

    async def __aenter__(self) -> Namespace:
        self._slot = await self._namespaces.open(self._name)
        return self._slot.__enter__()

    async def __aexit__(self, *_error: object) -> None:
        self._slot.__exit__()


class Namespaces:
    """All namespaces of a service, by name."""

    def __init__(
        self,
        kernel: Kernel,
        store: JournalStore,
        clock: Clock,
        writer_limits: WriterLimits,
        limits: NamespaceLimits,
        on_fatal: Callable[[str, BaseException], None],
        on_round: OnRound | None = None,
        checkpoints: CheckpointStore | None = None,
    ) -> None:
        self.kernel = kernel
        self.store = store
        self._checkpoints = checkpoints
        self._clock = clock
        self._writer_limits = writer_limits
        self._limits = limits
        self._on_fatal = on_fatal
        self._on_round = on_round
        self.sharing = Sharing()
        self._slots: dict[str, Slot] = {}
        self._refused_starts = RefusedStarts(clock)
        # Kept while a namespace is closed, so that its uptime goes on: this process serves it.
        self._log_clocks: dict[str, LogClock] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._closing_places = asyncio.Semaphore(CLOSING_MAX)
        # Until then a namespace that is closed writes a last checkpoint.
        self._keep_until = math.inf
        self._stopping = False

    @property
    def open_count(self) -> int:
        """How many namespaces are open."""
        return len(self._slots)

    def exists(self, name: str) -> bool:
        """Says whether a command was ever committed in the namespace."""
        slot = self._slots.get(name)
        if slot is not None and slot.is_open:
            return slot.opening.result().exists
        return self.store.exists(name)

    def use(self, name: str) -> AbstractAsyncContextManager[Namespace]:
        """Gives the namespace, open, for as long as the context lasts.

        Raises Refused: TOO_MANY_NAMESPACES, SHUTTING_DOWN, LOG_CORRUPT or LOG_UNAVAILABLE.
        """
        return _Use(self, name)

    def opened(self, name: str) -> Slot | None:
        """Returns the slot of a namespace if it is open, at once and not yet as used."""
        slot = self._slots.get(name)
        return slot if slot is not None and slot.is_open else None

    async def open(self, name: str) -> Slot:
        """Returns the slot of a namespace once it is open, to be used before anything is awaited.

        Raises Refused as `use` does.
        """
        return await (self._slots.get(name) or await self._add_slot(name)).opened()

    async def close_idle(self) -> None:
        """Closes every namespace that nobody has used for the idle time."""
        now = asyncio.get_running_loop().time()
        for name, slot in list(self._slots.items()):
            # While one is closed others come and go: another slot may have its name by now.
            is_open = self._slots.get(name) is slot
            if is_open and slot.users == 0 and now - slot.last_used >= self._limits.idle_seconds:
                await self._close(name)

    async def drain(self) -> None:
        """Refuses new commands, and commits and answers the queued ones. Reads still work."""
        self._stopping = True
        opened = [slot.opening for slot in self._slots.values()]
        for result in await asyncio.gather(*opened, return_exceptions=True):
            if isinstance(result, Namespace):
                await result.drain()

    async def close(self) -> None:
        """Closes every namespace. Nothing uses one any more."""
        self._stopping = True
        self._keep_until = asyncio.get_running_loop().time() + LAST_CHECKPOINTS_SECONDS_MAX
        for name in list(self._slots):
            self._begin_close(name)
        await asyncio.gather(*self._closing.values())

    def require_creatable(self, name: str) -> None:
        """Raises Refused, reason NAMESPACE_CREATION_DISABLED, if a command may not make it."""
        if not self._limits.create_namespaces and not self.exists(name):
            raise Refused(errors_pb2.ERROR_REASON_NAMESPACE_CREATION_DISABLED, namespace=name)

    async def _add_slot(self, name: str) -> Slot:
        while (closing := self._closing.get(name)) is not None:
            await asyncio.shield(closing)
        if (slot := self._slots.get(name)) is not None:
            return slot
        if self._stopping:
            raise Refused(errors_pb2.ERROR_REASON_SHUTTING_DOWN, retry_after_seconds=1.0)
        self._refused_starts.require_none(name)
        if len(self._slots) >= self._limits.namespaces_open_max:
            self._close_least_used()
        slot = self._slots[name] = Slot(asyncio.create_task(self._open(name)))
        return slot

    async def _open(self, name: str) -> Namespace:
        began_us = self._clock.monotonic_us()
        try:
            return await self._load(name)
        except BaseException as error:
            self._slots.pop(name, None)
            if isinstance(error, OSError):
                # No file handles are left, for instance: that may pass.
                error = JournalError(str(error))
            if not isinstance(error, JournalError):
                raise
            refusal = journal_refusal(name, error)
            self._refused_starts.note(name, refusal, began_us=began_us)
            raise refusal from error

    async def _load(self, name: str) -> Namespace:
        journal = await self.store.open(name)
        checkpoint = None
        try:
            if self._checkpoints is not None:
                checkpoint = await self._checkpoints.open(name, journal.incarnation)
            return await Namespace.open(
                name,
                self.kernel,
                journal,
                self._log_clock(name),
                self._writer_limits,
                self._on_fatal,
                self._on_round,
                checkpoint,
                self.sharing,
            )
        except BaseException:
            if checkpoint is not None:
                await checkpoint.close()
            await journal.close()
            raise

    def _log_clock(self, name: str) -> LogClock:
        clock = self._log_clocks.get(name)
        if clock is None:
            clock = self._log_clocks[name] = LogClock(self._clock)
        return clock

    def _close_least_used(self) -> None:
        idle = [(slot.last_used, name) for name, slot in self._slots.items() if slot.users == 0]
        if not idle:
            raise Refused(
                errors_pb2.ERROR_REASON_TOO_MANY_NAMESPACES,
                retry_after_seconds=1.0,
                namespaces_open_max=self._limits.namespaces_open_max,
            )
        self._begin_close(min(idle)[1])

    async def _close(self, name: str) -> None:
        await asyncio.shield(self._begin_close(name))

    def _begin_close(self, name: str) -> asyncio.Task[None]:
        slot = self._slots.pop(name)

        async def close() -> None:
            try:
                if not slot.opening.done():
                    await asyncio.wait([slot.opening])
                if slot.opening.exception() is None:
                    namespace = slot.opening.result()
                    async with self._closing_places:
                        now = asyncio.get_running_loop().time()
                        await namespace.close(keep=now < self._keep_until)
                    if not namespace.exists:
                        # It had no entry, so nothing that could outlive its time.
                        self._log_clocks.pop(name, None)
            finally:
                del self._closing[name]

        task = self._closing[name] = asyncio.create_task(close(), name=f"close {name}")
        return task
