"""Breaths: how long work holds the event loop that everything shares."""

from __future__ import annotations

import asyncio
import time
from typing import Final

# A command goes through several turns of the loop, and each waits for a breath of whoever is busy.
SECONDS_BETWEEN_BREATHS: Final = 0.0005
# Of a writer while others write as well: a few per cent of its work, for a third of their waiting.
SHARED_SECONDS_BETWEEN_BREATHS: Final = 0.00015
# For so long after two namespaces took turns the loop counts as shared.
SHARED_SECONDS: Final = 0.05
# A turn of the loop in which nobody else had anything to do takes less.
EMPTY_TURN_SECONDS: Final = 0.00003
# A command of another namespace is let through so many turns in one breath.
TURNS_MAX: Final = 6


class Sharing:
    """Says which writers are at work on an event loop: several of late, or one right now."""

    __slots__ = ("_latest", "_rounds", "_shared_until")

    def __init__(self) -> None:
        self._rounds = 0
        self._latest = ""
        self._shared_until = 0.0

    def begin_round(self, namespace: str) -> None:
        """Takes note of a round of a namespace."""
        self._rounds += 1
        if namespace != self._latest:
            if self._latest:
                self._shared_until = time.monotonic() + SHARED_SECONDS
            self._latest = namespace

    def end_round(self) -> None:
        """Takes note that a round is answered; one that ends its writer stays under way."""
        self._rounds -= 1

    @property
    def round_under_way(self) -> bool:
        """Whether any namespace decides or commits a round."""
        return self._rounds > 0

    def lasts(self, now: float) -> bool:
        """Whether several namespaces share the loop at a time of the monotonic clock."""
        return now < self._shared_until


class Breath:
    """Says when work has held the event loop for long enough.

    By time and not by number, as one command may be a batch of a thousand.
    """

    __slots__ = ("_due_time", "_sharing")

    def __init__(self, sharing: Sharing | None = None) -> None:
        """With `sharing`, the work is that of a writer, which makes way for other writers."""
        self._sharing = sharing
        self._due_time = time.monotonic() + SECONDS_BETWEEN_BREATHS

    @property
    def is_due(self) -> bool:
        """Whether it is time to let the loop do what else there is to do."""
        return time.monotonic() > self._due_time

    async def take(self) -> None:
        """Lets the loop do what else there is to do."""
        await asyncio.sleep(0)
        now = time.monotonic()
        if self._sharing is None or not self._sharing.lasts(now):
            self._due_time = now + SECONDS_BETWEEN_BREATHS
            return
        for _ in range(TURNS_MAX - 1):
            began = now
            await asyncio.sleep(0)
            now = time.monotonic()
            if now - began < EMPTY_TURN_SECONDS:
                break
        self._due_time = now + SHARED_SECONDS_BETWEEN_BREATHS
