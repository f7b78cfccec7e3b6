"""The trace of one world: what happened when, as text for people and as a hash for machines."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from xxhash import xxh3_64

# So much of the end is kept as text.
LINES_KEPT = 200


class Trace:
    """Takes note of what happens; two runs that are the same have the same digest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._hash = xxh3_64()
        self._lines: deque[tuple[float, str, tuple[object, ...]]] = deque(maxlen=LINES_KEPT)
        # What happened, by kind, and how often: for the harness.
        self.counts: Counter[str] = Counter()

    def note(self, what: str, *details: object) -> None:
        """Adds a line. Details are numbers, texts and bytes; nothing that has an address."""
        time = self._loop.time()
        self._lines.append((time, what, details))
        self._hash.update(f"{time!r} {what} {details!r}\n".encode())

    def fault(self, what: str, *details: object) -> None:
        """Adds a line about a fault, and counts it."""
        self.counts[what] += 1
        self.note(what, *details)

    def digest(self) -> str:
        """Returns the hash of all lines."""
        return self._hash.hexdigest()

    def tail(self) -> str:
        """Returns the last lines."""
        return "\n".join(
            f"{time:12.6f}  {what} {' '.join(map(_shown, details))}"
            for time, what, details in self._lines
        )


def _shown(detail: object) -> str:
    return detail.hex() if isinstance(detail, bytes) else str(detail)
