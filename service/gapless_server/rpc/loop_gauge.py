"""The gauge of the event loop: how long it did one thing and looked at nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import Final

# How often the gauge looks. What it tells may be so much more than what was.
LOOK_SECONDS: Final = 0.01


class LoopGauge:
    """Measures the loop that it is started on.

    In processor time of its thread, so that a machine that is busy with other things, or a process
    that is stopped for a while, is not taken for a loop that is held up by its own work.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._seen_seconds = 0.0

    def start(self) -> None:
        """Begins anew."""
        self.stop()
        self.longest_seconds = 0.0
        self._look_later()

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        self._seen_seconds = time.thread_time()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        # What was worked since the last look, which is one thing if it is much: else this would
        # have been called in between.
        worked_seconds = time.thread_time() - self._seen_seconds
        self.longest_seconds = max(self.longest_seconds, worked_seconds)
        self._look_later()
