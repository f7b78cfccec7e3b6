"""Takes erased content out of entries, in the round being made and in those on disk.

A round on disk keeps its positions, its length and the hash that the chain has of it; what it is
from now on is attested by the round that erases.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from google.protobuf.message import Message

from gapless_server.core.kernel import Erasure
from gapless_server.core.wire import VARINTS, bytes_tag, field
from gapless_server.journal.port import (
    Corrupt,
    Journal,
    JournalError,
    NotKept,
    Round,
    digest_of,
)
from gapless_server.storage.v1.storage_pb2 import RewrittenRound, StoredEntry, StoredRound
from gapless_server.writer.feed import Feed
from gapless_server.writer.log_reader import round_at

_PADDING = bytes_tag(StoredRound.PADDING_FIELD_NUMBER)


class ErasingEvent(NamedTuple):
    """An event that erases content, and how; its own entry, and its place in that."""

    erasure: Erasure
    event: Message
    position: int
    place: int


def by_position(erasing: Iterable[ErasingEvent]) -> dict[int, list[ErasingEvent]]:
    """Returns what is to be erased at each position, in the order of the positions."""
    found: dict[int, list[ErasingEvent]] = {}
    for one in erasing:
        for position in one.erasure.positions(one.event):
            found.setdefault(position, []).append(one)
    return dict(sorted(found.items()))


class Rewriting:
    """The rounds in a journal that the erasures of a new round change, without what is erased.

    They are made one after another, and twice: first for what the new round attests of them, then
    to be written. All of them together may be as large as the log.
    """

    def __init__(self, journal: Journal, erasing: Sequence[ErasingEvent]) -> None:
        self._journal = journal
        head_position = journal.head.position
        self._erasing = {
            position: events
            for position, events in by_position(erasing).items()
            if position <= head_position
        }

    async def attested(self) -> list[RewrittenRound]:
        """Returns what the new round says of them.

        Raises Corrupt if one is damaged, and NotKept if one cannot be read now.
        """
        return [
            RewrittenRound(first_position=one.first_position, data_digest=digest_of(one.data))
            async for one in self.rounds()
        ]

    async def commit(self, record: Round, feed: Feed) -> None:
        """Makes the new round durable and them with it; what the feed holds is as they are then.

        Raises what `attested` and an append raise; then nothing has changed.
        """
        shown: list[Round] = []

        async def rounds() -> AsyncIterator[Round]:
            async for one in self.rounds():
                if feed.holds(one.first_position):
                    shown.append(one)
                yield one

        await self._journal.append_rewriting(record, rounds())
        feed.rewrite(shown)

    async def rounds(self) -> AsyncIterator[Round]:
        """Yields them in order, as they are from now on. Raises as `attested` does."""
        positions = deque(self._erasing)
        while positions:
            record = await _readable_round(self._journal, positions[0])
            await asyncio.sleep(0)
            by_index: dict[int, list[ErasingEvent]] = {}
            while positions and positions[0] <= record.last_position:
                position = positions.popleft()
                by_index[position - record.first_position] = self._erasing[position]
            erased = erased_entries(record.data, by_index)
            await asyncio.sleep(0)
            data = _padded(erased, len(record.data))
            await asyncio.sleep(0)
            yield record._replace(data=data, data_digest=record.committed_digest)
            await asyncio.sleep(0)


async def _readable_round(journal: Journal, position: int) -> Round:
    try:
        return await round_at(journal, position)
    except Corrupt:
        raise
    except JournalError as error:
        raise NotKept(str(error)) from error


def erased_entries(data: bytes, by_index: Mapping[int, Sequence[ErasingEvent]]) -> bytes:
    """Returns a StoredRound without the content that is erased from its entries."""
    stored_round = StoredRound.FromString(data)
    stored_round.ClearField("padding")
    for index, erasing in by_index.items():
        _erase(stored_round.entries[index], erasing)
    return stored_round.SerializeToString(deterministic=True)


def _erase(stored: StoredEntry, erasing: Sequence[ErasingEvent]) -> None:
    # An entry may have thousands of events, and half of them may erase the others.
    contents: dict[Erasure, dict[Hashable, list[tuple[int, Message]]]] = {}
    for one in erasing:
        if one.erasure not in contents:
            contents[one.erasure] = _contents(stored, one.erasure)
        # In its own entry it erases what stands before it: the batch may go on after that.
        stop = one.place if one.position == stored.entry.position else len(stored.entry.events)
        for index, event in contents[one.erasure].get(one.erasure.erases(one.event), ()):
            if index < stop:
                one.erasure.clear(event)
    mark_erased(stored)


def mark_erased(stored: StoredEntry) -> None:
    """Has an entry say that content of it was erased, and forget what its command said."""
    # The digests of what the command said would give short texts away.
    stored.fingerprint = stored.fingerprint[:1]
    stored.erased = True


def _contents(stored: StoredEntry, erasure: Erasure) -> dict[Hashable, list[tuple[int, Message]]]:
    """Returns the events of an entry that have content, with their places, by which it is."""
    found: dict[Hashable, list[tuple[int, Message]]] = {}
    for index, event in enumerate(stored.entry.events):
        if (name := event.WhichOneof("event")) is not None:
            message = getattr(event, name)
            if (content := erasure.content(message)) is not None:
                found.setdefault(content, []).append((index, message))
    return found


def _padded(data: bytes, length: int) -> bytes:
    """Returns a StoredRound filled up to a length, if one field or two can do it."""
    empty = field(_PADDING, b"")
    for first in (b"", empty):
        missing = length - len(data) - len(first)
        # A field costs its tag, the length of its bytes in one byte up to four, and the bytes.
        for overhead in (2, 3, 4, 5):
            size = missing - overhead
            if size >= 0 and len(_PADDING) + len(VARINTS[size]) == overhead:
                return b"".join((data, first, field(_PADDING, bytes(size))))
    return data


class Attestations:
    """Compares rounds that were rewritten with what later rounds say that they are.

    Takes the rounds in the order of the log, from any one on.
    """

    def __init__(self) -> None:
        self._first_position: int | None = None
        self._found: dict[int, bytes] = {}
        self._attested: dict[int, bytes] = {}
        # What rounds may have become while they were taken.
        self._meanwhile: set[tuple[int, bytes | None]] = set()

    def observe(self, record: Round, stored_round: StoredRound) -> None:
        """Takes the next round, and what its data says."""
        if self._first_position is None:
            self._first_position = record.first_position
        if record.data_digest is not None:
            self._found[record.first_position] = digest_of(record.data)
        for rewritten in stored_round.rewritten:
            self._attested[rewritten.first_position] = rewritten.data_digest

    def observe_later(self, stored_round: StoredRound) -> None:
        """Takes what a round says that was committed while others were taken.

        Those were taken as they were before it or as they are after it.
        """
        for rewritten in stored_round.rewritten:
            self._meanwhile.add((rewritten.first_position, rewritten.data_digest))

    def wrong(self) -> list[int]:
        """Returns the first positions of the rounds that are not as the log says, in order.

        One that should have been rewritten, and has all that was committed, is among them.
        """
        observed_from = self._first_position or 0
        return sorted(
            position
            for position in self._found.keys() | self._attested.keys()
            if position >= observed_from
            and self._attested.get(position) != self._found.get(position)
            and (position, self._found.get(position)) not in self._meanwhile
        )
