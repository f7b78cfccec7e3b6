"""Reads the durable log of an open namespace: from the feed where it can, else from the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from gapless_server.journal.port import Corrupt, Journal, Round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.feed import CommittedRound, Feed


async def round_at(journal: Journal, position: int) -> Round:
    """Returns the durable round that holds a position. Raises Corrupt."""
    async for record in journal.read(position):
        return record
    raise Corrupt(f"no round holds position {position}")


async def entries_at(journal: Journal, position: int) -> dict[int, StoredEntry]:
    """Returns the entries, by position, of the durable round that holds `position`."""
    record = await round_at(journal, position)
    return {stored.entry.position: stored for stored in StoredRound.FromString(record.data).entries}


async def rounds_from(
    journal: Journal, feed: Feed, head_position: Callable[[], int], position: int
) -> AsyncIterator[CommittedRound]:
    """Yields the durable rounds from the one that holds `position` on, up to the head."""
    while position <= head_position():
        recent = feed.rounds_from(position)
        if recent:
            for committed in recent:
                yield committed
                position = committed.record.last_position + 1
            continue
        async for record in journal.read(position):
            yield CommittedRound(record)
            position = record.last_position + 1
            if feed.rounds_from(position) is not None:
                break
