"""The trace of one world: what happened when, as text for people and as a hash for machines."""

from __future__ import annotations

import asyncio
from collections import Counter

from xxhash import xxh3_64_hexdigest

# So many of the last lines are shown.
LINES_SHOWN = 200


class Trace:
    """Takes note of what happens; two runs that are the same have the same digest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: list[str] = []
        # What happened, by kind, and how often: for the harness.
        self.counts: Counter[str] = Counter()

    def note(self, what: str, *details: object) -> None:
        """Adds a line. Details are numbers, texts and bytes; nothing that has an address."""
        self._lines.append(f"{self._loop.time():12.6f}  {what} {details}")

    def fault(self, what: str, *details: object) -> None:
        """Adds a line about a fault, and counts it."""
        self.counts[what] += 1
        self.note(what, *details)

    def digest(self) -> str:
        """Returns the hash of all lines."""
        return xxh3_64_hexdigest("\n".join(self._lines).encode())

    def tail(self) -> str:
        """Returns the last lines."""
        return "\n".join(self._lines[-LINES_SHOWN:])
