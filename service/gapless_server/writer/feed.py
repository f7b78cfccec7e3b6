"""The feed: the newest committed rounds, kept for watchers, and the news that there are more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gapless_server.journal.port import Round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound

# What a round takes in memory beside its data, as measured: of rounds of one small command it is
# three quarters.
ROUND_BYTES: Final = 400


class Slice(NamedTuple):
    """Entries of a round that lie side by side, from index `start` to before `end`."""

    start: int
    end: int
    # What readers are sent of them; empty where a filter leaves all of them out.
    data: bytes


class CommittedRound:
    """A durable round; taken apart only when somebody looks into it.

    `shown` is for those who show it to many readers: by what they want to see of it, its first
    slices, as far as one of them has come.
    """

    __slots__ = ("_stored", "record", "shown")

    def __init__(self, record: Round) -> None:
        self.record = record
        self.shown: dict[bytes, list[Slice]] = {}
        self._stored: StoredRound | None = None

    def rewrite(self, record: Round) -> None:
        """Is the round as it is from now on, for those who hold it already as well."""
        self.record, self.shown, self._stored = record, {}, None

    @property
    def entries(self) -> Sequence[StoredEntry]:
        """The entries, in the order of their positions."""
        if self._stored is None:
            self._stored = StoredRound.FromString(self.record.data)
        return self._stored.entries


class Feed:
    """Holds the newest rounds up to a number of bytes. Watchers pull; nothing queues for them."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._rounds: deque[CommittedRound] = deque()
        self._news: asyncio.Future[None] | None = None

    def publish(self, record: Round) -> None:
        """Adds a durable round, drops the oldest ones past the limit, and wakes who waits."""
        self._rounds.append(CommittedRound(record))
        self._bytes += len(record.data) + ROUND_BYTES
        while self._bytes > self._bytes_max and len(self._rounds) > 1:
            self._bytes -= len(self._rounds.popleft().record.data) + ROUND_BYTES
        self.wake()

    def rewrite(self, records: Iterable[Round]) -> None:
        """Lets rounds, as far as they are held, be what they are from now on."""
        changed = {record.first_position: record for record in records}
        for committed in self._rounds:
            record = changed.get(committed.record.first_position)
            if record is not None:
                committed.rewrite(record)

    def holds(self, position: int) -> bool:
        """Whether the round of a position is one of the newest, which are kept."""
        return bool(self._rounds) and position >= self._rounds[0].record.first_position

    def wake(self) -> None:
        """Wakes who waits for news: there is some, or there never will be."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        self._news = None

    def news(self) -> asyncio.Future[None]:
        """Returns what is done when the next round after this call is published.

        No coroutine: one that begins only later would miss what is published in between.
        """
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        # Shielded: one watcher that is cancelled must not wake or cancel the others.
        return asyncio.shield(self._news)

    def rounds_from(self, position: int) -> list[CommittedRound] | None:
        """Returns the rounds from the one that holds `position` on; None if that was dropped."""
        if not self._rounds or position < self._rounds[0].record.first_position:
            return None
        found: list[CommittedRound] = []
        for committed in reversed(self._rounds):
            if committed.record.last_position < position:
                break
            found.append(committed)
        found.reverse()
        return found

    def entry(self, position: int) -> StoredEntry | None:
        """Returns the entry at a position, or None if its round was dropped."""
        rounds = self.rounds_from(position)
        if not rounds:
            return None
        return rounds[0].entries[position - rounds[0].record.first_position]
