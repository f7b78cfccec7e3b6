"""Giving locks back without anybody waiting; ``gapless._sync`` has the same for threads.

Written by hand in both colours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

# What closing a client waits for at most, so that they can still be sent.
CLOSE_SECONDS_MAX: Final = 2.0


class GiveBacks:
    """What is under way of it, for a client and all its views."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does it in a task of its own."""
        task = asyncio.create_task(work(), name="give a lock back")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Waits for all of them, but not for long."""
        # Those of a loop that is over will not end.
        loop = asyncio.get_running_loop()
        here = [task for task in self._tasks if task.get_loop() is loop]
        if here:
            await asyncio.wait(here, timeout=CLOSE_SECONDS_MAX)
