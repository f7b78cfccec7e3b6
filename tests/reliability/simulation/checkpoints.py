"""The checkpoint port (C1 to C3) on the simulated disk: rows and request ids, moved at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from gapless_server.checkpoint.port import (
    REQUEST_SHARDS,
    Changes,
    CheckpointHead,
    RequestLoader,
    RequestPairs,
    RequestShard,
)
from tests.reliability.simulation.disk import Disk


@dataclass
class Stored:
    """A checkpoint as it lies on the disk."""

    incarnation: str = ""
    at: CheckpointHead = field(default_factory=CheckpointHead)
    rows: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    shards: dict[int, RequestShard] = field(default_factory=dict)
    requests: list[RequestPairs] = field(default_factory=list)


class SimulatedCheckpoint:
    """The checkpoint of the log, open."""

    def __init__(self, disk: Disk, stored: Stored) -> None:
        self._disk = disk
        self._stored = stored

    @property
    def at(self) -> CheckpointHead:
        """Where in the log it stands."""
        return self._stored.at

    def get(self, table: str, key: bytes) -> bytes | None:
        """Returns a row, or None."""
        return self._stored.rows.get(table, {}).get(key)

    def scan(
        self, table: str, low: bytes, high: bytes, *, descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yields keys and rows between two keys, in order."""
        rows = self._stored.rows.get(table, {})
        for key in sorted([key for key in rows if low < key < high], reverse=descending):
            yield key, rows[key]

    async def load_requests(self, loader: RequestLoader) -> None:
        """Hands over the request ids: shards, and all pairs, which those have in part."""
        for _number, shard in sorted(self._stored.shards.items()):
            loader.load_shard(shard)
        for requests in self._stored.requests:
            loader.load_pairs(requests, bytes([1]) * REQUEST_SHARDS)

    async def write(
        self,
        at: CheckpointHead,
        changes: Changes,
        requests: RequestPairs,
        shards: list[RequestShard],
    ) -> None:
        """Moves the checkpoint, at one moment. Raises OSError while the disk is full."""
        seconds = self._disk.commit_seconds()
        await asyncio.sleep(seconds / 2)  # simulated: a process that dies here has written nothing
        if self._disk.is_full:
            raise OSError("the disk is full")
        for table, rows in changes:
            stored = self._stored.rows.setdefault(table, {})
            for key, row in rows:
                if row is None:
                    stored.pop(key, None)
                else:
                    stored[key] = row
        self._stored.shards.update({shard.number: shard for shard in shards})
        self._stored.requests.append(requests)
        self._stored.at = at
        self._disk.trace.fault("checkpoint", at.head.position)
        await asyncio.sleep(seconds / 2)  # simulated: or has written all of it, and told nobody

    async def scrub(self) -> bool:
        """Overwrites old pages, of which there are none."""
        return True

    async def close(self) -> None:
        """Does nothing."""


class SimulatedCheckpoints:
    """The checkpoints of the machine, of which there is one at most."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._stored = Stored()

    async def open(self, namespace: str, incarnation: str) -> SimulatedCheckpoint:
        """Opens the checkpoint of the log; an empty one if it is of another incarnation (C3)."""
        if self._stored.incarnation != incarnation:
            self._stored = Stored(incarnation)
        return SimulatedCheckpoint(self._disk, self._stored)
