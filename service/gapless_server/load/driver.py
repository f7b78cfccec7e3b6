"""What a driver of a system has to be able to do, on asyncio or with threads.

A post gives its channel's next sequence to a body, stores it, remembers the request id so that a
repeat gets the same answer, and returns the sequence once all that is durable.

Guarantees that the check holds it to:
1. The sequences of a channel are 1..n, each given once, whoever asked.
2. A post that is repeated with its request id returns the same sequence and adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Post(NamedTuple):
    """One post."""

    channel_id: str
    request_id: str
    body: bytes


class AsyncDriver(Protocol):
    """Drives a system from one event loop."""

    async def open(self) -> None:
        """Connects; the measured time begins after it."""

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Makes the channels; called once, in one process, before any post to them."""

    async def post(self, post: Post) -> int:
        """Runs one post."""
        ...

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        """Runs many, pipelined by hand, and returns their sequences in the same order."""
        ...

    async def close(self) -> None:
        """Disconnects."""


class BlockingDriver(Protocol):
    """Drives a system whose client blocks: `post` and `post_frame` are called from threads."""

    def open(self) -> None:
        """Connects; the measured time begins after it."""

    def prepare(self, channel_ids: Sequence[str]) -> None:
        """Makes the channels; called once, in one process, before any post to them."""

    def post(self, post: Post) -> int:
        """Runs one post; called from `in_flight` threads at once."""
        ...

    def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        """Runs many at once and returns their sequences in the same order."""
        ...

    def close(self) -> None:
        """Disconnects."""
