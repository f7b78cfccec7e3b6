"""Request ids: unique for ever, made in time order.

Time order matters to the service, whose index of request ids grows at its end then. An id is a
UUID of version 7 (RFC 9562, with a counter in place of the first random bits), so it also fits
wherever a UUID does.

Invariants:
1. The ids of a thread grow from one to the next, as text, whatever the clock does.
2. No two threads or processes share a tag of 62 random bits; a fork draws a new one.

Every thread has a maker of its own because a lock would be a third of what an id costs. An id is
put together from parts that are ready: formatting numbers would be half of its cost.
"""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import time
from typing import Final

# The counter of the ids of one millisecond: 12 bits, as text.
_STEPS: Final = tuple("".join(digits) for digits in itertools.product("0123456789abcdef", repeat=3))


class RequestIds:
    """Makes the request ids of one thread."""

    def __init__(self) -> None:
        self._millisecond = 0
        # When, on the clock of time.time(), the next millisecond begins.
        self._next_millisecond = 0.0
        self._prefix = ""
        self._steps = iter(_STEPS)
        bits = secrets.randbits(62) | (0b10 << 62)
        digits = f"{bits:016x}"
        self._tag = f"-{digits[:4]}-{digits[4:]}"

    def next(self) -> str:
        """The next id: 36 characters."""
        now = time.time()
        if now >= self._next_millisecond:
            self._begin(int(now * 1000))
        step = next(self._steps, None)
        if step is None:
            self._begin(0)
            step = next(self._steps)
        return f"{self._prefix}{step}{self._tag}"

    def _begin(self, millisecond: int) -> None:
        """Begins a millisecond, or one more than the last if that is later."""
        self._millisecond = millisecond = max(millisecond, self._millisecond + 1)
        self._next_millisecond = (millisecond + 1) / 1000
        self._prefix = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"
        self._steps = iter(_STEPS)


class _OfThread(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Runs in the only thread that a forked child has."""
        self.next = RequestIds().next


_of_thread = _OfThread()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_of_thread.renew)


def new_request_id() -> str:
    """A request id that was never made before, later in order than the last one of this thread."""
    return _of_thread.next()
