"""Breaths: how long work holds the event loop that everything shares."""

from __future__ import annotations

import asyncio
import time
from typing import Final

# Short, because all namespaces share the loop: a command goes through several turns of it, and
# each waits for a breath of whoever is busy.
SECONDS_BETWEEN_BREATHS: Final = 0.0005


class Breath:
    """Says when work has held the event loop for long enough.

    By time and not by number, as one command may be a batch of a thousand.
    """

    __slots__ = ("_due_time",)

    def __init__(self) -> None:
        self._due_time = time.monotonic() + SECONDS_BETWEEN_BREATHS

    @property
    def is_due(self) -> bool:
        """Whether it is time to let the loop do what else there is to do."""
        return time.monotonic() > self._due_time

    async def take(self) -> None:
        """Lets the loop do what else there is to do."""
        await asyncio.sleep(0)
        self._due_time = time.monotonic() + SECONDS_BETWEEN_BREATHS
