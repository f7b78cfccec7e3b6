"""Starts that were refused: a log that cannot be served is not gone through for everybody who asks.

A start may replay millions of entries before it finds the damage. Were it tried for whoever asks
next, clients that come again and again would keep the processor from all other namespaces.
"""

from __future__ import annotations

from gapless_server.core.refusals import Refused
from gapless_server.writer.clock import Clock


class RefusedStarts:
    """Until when each namespace that did not open is refused as it was: as long as that took.

    So half of the time at most goes into starts, and what was mended is seen as soon as it can be.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_us = clock.monotonic_us
        self._refused: dict[str, tuple[int, Refused]] = {}

    def note(self, name: str, refusal: Refused, *, began_us: int) -> None:
        """Takes note of a start that was refused now, and was begun at a monotonic time."""
        now_us = self._now_us()
        # What is over goes, so that no more are kept than can be tried in that time.
        self._refused = {one: known for one, known in self._refused.items() if known[0] > now_us}
        # Not itself: what it came from has all that was loaded by then as its variables.
        self._refused[name] = (now_us + (now_us - began_us), refusal.again())

    def require_none(self, name: str) -> None:
        """Raises the refusal of a start that was tried too shortly before."""
        if (known := self._refused.get(name)) is None:
            return
        until_us, refusal = known
        if self._now_us() < until_us:
            raise refusal.again()
