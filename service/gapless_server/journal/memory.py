"""The memory journal: for tests that do not need a disk. Nothing survives the process."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import AsyncIterator
from typing import NoReturn

from gapless_server.journal.port import EMPTY_HEAD, Head, NotSupported, OwnedElsewhere, Round


class _Log:
    def __init__(self) -> None:
        self.incarnation = secrets.token_hex(8)
        self.rounds: list[Round] = []
        self.is_open = False


class MemoryJournal:
    """A journal on a list. Keeps J2 to J7, and J1 for as long as the process lives."""

    erasure_pending = False

    def __init__(self, log: _Log) -> None:
        self._log = log
        log.is_open = True

    @property
    def incarnation(self) -> str:
        """The random name of this history of the log."""
        return self._log.incarnation

    @property
    def head(self) -> Head:
        """The newest position."""
        if not self._log.rounds:
            return EMPTY_HEAD
        last = self._log.rounds[-1]
        return Head(last.last_position, last.chain_hash)

    async def append(self, record: Round) -> None:
        """Keeps a round."""
        if record.first_position != self.head.position + 1:
            raise ValueError(
                f"round begins at {record.first_position}, the head is {self.head.position}"
            )
        self._log.rounds.append(record)

    async def append_rewriting(self, record: Round, rewritten: AsyncIterator[Round]) -> None:
        """Keeps a round, and others of before as they are from now on."""
        changed = [old async for old in rewritten]
        await self.append(record)
        for old in changed:
            index = bisect_left(
                self._log.rounds, old.first_position, key=lambda known: known.first_position
            )
            self._log.rounds[index] = old

    async def scrub(self) -> bool:
        """Does nothing: nothing refers to what was rewritten."""
        return True

    async def end_erasure(self, position: int) -> None:
        """Does nothing."""

    def has_room(self) -> bool:
        """Memory never says that it is full."""
        return True

    async def read(self, from_position: int) -> AsyncIterator[Round]:
        """Yields the rounds from the one that holds `from_position` on."""
        rounds = self._log.rounds
        index = bisect_left(rounds, from_position, key=lambda record: record.last_position)
        while index < len(rounds):
            yield rounds[index]
            index += 1

    async def close(self) -> None:
        """Gives the log free."""
        self._log.is_open = False


class MemoryJournalStore:
    """The logs of one process, kept while a namespace is closed and opened again."""

    name = "memory"
    version = ""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}

    def announce(self, address: str) -> None:
        """No other process can see these logs."""

    async def open(self, namespace: str) -> MemoryJournal:
        """Opens a log, there or not."""
        log = self._logs.setdefault(namespace, _Log())
        if log.is_open:
            raise OwnedElsewhere(f"the log of namespace {namespace} is already open here")
        return MemoryJournal(log)

    def exists(self, namespace: str) -> bool:
        """Says whether the log has ever had a round."""
        log = self._logs.get(namespace)
        return log is not None and bool(log.rounds)

    def namespaces(self) -> list[str]:
        """Returns the names of the logs that exist, sorted."""
        return sorted(name for name in self._logs if self.exists(name))

    async def copy(self, namespace: str) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported(f"the log of namespace {namespace} is in memory and has no file")

    async def close(self) -> None:
        """Forgets every log."""
        self._logs.clear()
