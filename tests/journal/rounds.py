"""Rounds as the writer would make them, of entries in which nothing happened."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gapless.v1.events_pb2 import Entry
from gapless_server.journal import port
from gapless_server.journal.port import EMPTY_HEAD, Head, Journal, Round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound


def next_round(head: Head, entry_count: int = 1, data: bytes = b"data") -> Round:
    """Returns a round of so many entries that goes on after a head."""
    return port.next_round(head, head.position + entry_count, data)


def chain_of(entry_counts: list[int], head: Head = EMPTY_HEAD) -> list[Round]:
    """Returns rounds that follow one another, with so many entries each."""
    rounds = []
    for entry_count in entry_counts:
        first = head.position + 1
        entries = [
            StoredEntry(entry=Entry(position=position))
            for position in range(first, first + entry_count)
        ]
        data = StoredRound(entries=entries).SerializeToString()
        rounds.append(next_round(head, entry_count, data))
        head = Head(rounds[-1].last_position, rounds[-1].chain_hash)
    return rounds


async def append_all(journal: Journal, rounds: list[Round]) -> None:
    for record in rounds:
        await journal.append(record)


async def read_all(journal: Journal, from_position: int = 1) -> list[Round]:
    return [record async for record in journal.read(from_position)]


async def one_by_one(*rounds: Round) -> AsyncIterator[Round]:
    """Yields rounds as `append_rewriting` takes them."""
    for record in rounds:
        yield record
