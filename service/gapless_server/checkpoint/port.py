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
from typing import Final, NamedTuple, Protocol

from gapless_server.core.layers import RowStore
from gapless_server.journal.port import EMPTY_HEAD, Head

# The rows of each table that changed, by the table's name, in the order of their keys, each once; a
# row that is None was deleted.
Changes = Iterable[tuple[str, Iterable[tuple[bytes, bytes | None]]]]


# The parts of the request index, of which each has a number from 0.
REQUEST_SHARDS: Final = 256


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
    # All request keys whose hash another key has too, not only new ones: there are next to none.
    collided: dict[str, int] = field(default_factory=dict)


class RequestShard(NamedTuple):
    """A part of the request index, in the form that it has in memory."""

    number: int
    hashes: bytes
    positions: bytes
    filled: int
    """How many of its slots are."""


class RequestLoader(Protocol):
    """Takes what is stored of a request index, piece by piece: it may be large."""

    def load_shard(self, shard: RequestShard) -> None:
        """Takes a shard."""
        ...

    def load_pairs(self, requests: RequestPairs, behind: bytes) -> None:
        """Takes pairs, some of which a shard may have had already.

        `behind` has a byte for each shard: 0 if it has all of these that are its own.
        """
        ...


class Checkpoint(RowStore, Protocol):
    """The checkpoint of one log. Its rows are those after `at.head`."""

    @property
    def at(self) -> CheckpointHead:
        """Where in the log the checkpoint stands; at its beginning, if it is empty."""
        ...

    async def load_requests(self, loader: RequestLoader) -> None:
        """Hands over the shards of the request index, and then what came after them.

        In another thread; nobody else may use the loader meanwhile. Raises Damaged or OSError.
        """
        ...

    async def write(
        self,
        at: CheckpointHead,
        changes: Changes,
        requests: RequestPairs,
        shards: list[RequestShard],
    ) -> None:
        """Moves the checkpoint to `at` (C1).

        `requests` is added to what is stored of the request index. `shards` take the place of their
        older selves; they have all of `requests`. `changes` is read in another thread.
        Raises Damaged if what it has to add to is not what was written.
        """
        ...

    async def scrub(self) -> bool:
        """Overwrites what no row has any more, in every file.

        Takes time in proportion to the state. Returns False if that has to wait. Raises Damaged.
        """
        ...

    async def close(self) -> None:
        """Gives the files free."""
        ...


class CheckpointStore(Protocol):
    """The checkpoints of a service, by the name of their namespace."""

    async def open(self, namespace: str, incarnation: str) -> Checkpoint:
        """Opens the checkpoint of a log; an empty one, if there is none that can be used (C3).

        Raises OSError if that cannot be said just now, as without a file handle or memory.
        """
        ...
