"""A limit on how long a blocking read may take, which gRPC's own API does not have."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls `bite` if it stays armed for longer than it was armed for.

    Its one thread begins with the first use and sleeps until the deadline that it last saw; since
    arming again mostly moves the deadline later, that wakes nobody.
    """

    def __init__(self, bite: Callable[[], object]) -> None:
        self.has_bitten = False
        self._bite = bite
        self._changed = threading.Condition()
        self._deadline = math.inf
        self._wake_time = math.inf
        self._ended = False
        self._thread: threading.Thread | None = None

    def arm(self, seconds: float) -> None:
        """Begins to count."""
        with self._changed:
            self._deadline = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="gapless watchdog", daemon=True
                )
                self._thread.start()
            elif self._deadline < self._wake_time:
                self._changed.notify()

    def disarm(self) -> None:
        """Stops counting."""
        with self._changed:
            self._deadline = math.inf

    def end(self) -> None:
        """Lets the thread go. Never waits, as it may be called by the garbage collector."""
        self._ended = True
        if self._changed.acquire(blocking=False):
            self._changed.notify()
            self._changed.release()

    def _watch(self) -> None:
        with self._changed:
            while not self._ended:
                seconds_left = self._deadline - time.monotonic()
                if seconds_left <= 0:
                    self.has_bitten = True
                    self._bite()
                    return
                self._wake_time = self._deadline
                self._changed.wait(None if math.isinf(seconds_left) else seconds_left)
