"""Giving locks back without anybody waiting; ``gapless._async`` has the same for asyncio.

Written by hand in both colours.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

# What closing a client waits for at most, so that they can still be sent.
CLOSE_SECONDS_MAX: Final = 2.0


class GiveBacks:
    """What is under way of it, for a client and all its views."""

    def __init__(self) -> None:
        # Without those that have ended.
        self._threads: WeakSet[threading.Thread] = WeakSet()

    def start(self, work: Callable[[], None]) -> None:
        """Does it in a thread of its own, or not at all if there can be none any more."""
        # A daemon: it must not keep a process alive.
        thread = threading.Thread(target=work, name="give a lock back", daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads.add(thread)

    def finish(self) -> None:
        """Waits for all of them, but not for long."""
        give_up_time = time.monotonic() + CLOSE_SECONDS_MAX
        for thread in tuple(self._threads):
            thread.join(max(give_up_time - time.monotonic(), 0))
