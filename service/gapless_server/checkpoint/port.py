"""The checkpoint port: what the writer asks of whatever keeps state between two starts.

A checkpoint is the state after some position of the log: every row of every table, and every
request id. The log alone is the truth. A checkpoint only spares a start from replaying all of it,
and memory from holding all of it. The promises:

C1. A checkpoint is there whole or not at all: it is the state after `head`, never between two.
C2. What is read is what was written, or `Damaged` is raised, and the checkpoint is forgotten, so
    that the next start rebuilds it from the log.
C3. A checkpoint of another incarnation, or of another format, is not there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from gapless_server.core.layers import RowStore
from gapless_server.journal.port import EMPTY_HEAD, Head

# The rows of each table that changed, by the table's name; a row that is None was deleted.
Changes = Iterable[tuple[str, Iterable[tuple[bytes, bytes | None]]]]


class Damaged(Exception):
    """A checkpoint does not hold what was written to it."""


@dataclass(frozen=True, slots=True)
class CheckpointHead:
    """Where in the log a checkpoint stands."""

    head: Head = EMPTY_HEAD
    time_us: int = 0
    uptime_us: int = 0


@dataclass(slots=True)
class RequestPairs:
    """Request ids as they are stored: pairs of a hash and a position, and those that collided."""

    # hash, position, hash, position, ...
    pairs: array[int] = field(default_factory=lambda: array("Q"))
    # Request keys whose hash another key has too.
    collided: dict[str, int] = field(default_factory=dict)


class Checkpoint(RowStore, Protocol):
    """The checkpoint of one log. Its rows are those after `at.head`."""

    @property
    def at(self) -> CheckpointHead:
        """Where in the log the checkpoint stands; at its beginning, if it is empty."""
        ...

    async def load_requests(self) -> tuple[list[tuple[bytes, bytes]], list[RequestPairs]]:
        """Returns the last image of the request index, shard by shard, and what came after."""
        ...

    async def write(
        self,
        at: CheckpointHead,
        changes: Changes,
        requests: RequestPairs,
        image: list[tuple[bytes, bytes]] | None,
    ) -> None:
        """Moves the checkpoint to `at` (C1).

        `image`, if given, takes the place of all that is stored of the request index; otherwise
        `requests` is added to it. `changes` is read in another thread.
        """
        ...

    async def scrub(self) -> bool:
        """Overwrites what no row has any more, in every file.

        Takes time in proportion to the state. Returns False if that has to wait.
        """
        ...

    async def close(self) -> None:
        """Gives the files free."""
        ...


class CheckpointStore(Protocol):
    """The checkpoints of a service, by the name of their namespace."""

    async def open(self, namespace: str, incarnation: str) -> Checkpoint:
        """Opens the checkpoint of a log; an empty one, if there is none that can be used (C3)."""
        ...
