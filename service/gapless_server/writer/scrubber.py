"""Sees to it that what was erased leaves no copy in the files, beside the commits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gapless_server.journal.port import Journal

_log = structlog.get_logger()

# A reader that is at work, such as a backup, keeps old pages; so often it is tried again.
RETRY_SECONDS: Final = 0.5


class Scrubber:
    """Overwrites old pages of a log and of its checkpoint after each erasure.

    `scrub_checkpoint(position)` returns False while the checkpoint has not come to a position.
    What is not done when the namespace closes is done when it opens again: the journal remembers.
    """

    def __init__(
        self, name: str, journal: Journal, scrub_checkpoint: Callable[[int], Awaitable[bool]]
    ) -> None:
        self._name = name
        self._journal = journal
        self._scrub_checkpoint = scrub_checkpoint
        self._position = 0
        self._task: asyncio.Task[None] | None = None

    def start(self, position: int) -> None:
        """Begins, after an erasure was committed at a position; never waits."""
        self._position = position
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"scrubber {self._name}")

    async def stop(self) -> None:
        """Ends, done or not."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        scrubbed = 0
        while scrubbed < self._position:
            position = self._position
            if await self._scrub(position):
                scrubbed = position
            else:
                await asyncio.sleep(RETRY_SECONDS)
        _log.info("erasure_complete", namespace=self._name, position=scrubbed)

    async def _scrub(self, position: int) -> bool:
        try:
            if not await self._scrub_checkpoint(position) or not await self._journal.scrub():
                return False
            await self._journal.end_erasure(position)
        except (sqlite3.Error, OSError) as error:
            _log.error("scrub_failed", namespace=self._name, description=str(error))
            return False
        return True
