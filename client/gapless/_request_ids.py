"""Request ids: unique for ever, made in time order.

Time order matters to the service, whose index of request ids grows at its end then. An id is a
UUID of version 7 (RFC 9562, with the clock's finer digits in place of the first random ones), so
it also fits wherever a UUID does.

Invariants:
1. The ids of a thread grow from one to the next, as text, whatever the clock does.
2. No two threads or processes share a tag of 62 random bits; a fork draws a new one.

Every thread has a maker of its own because a lock would be a third of what an id costs.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import Final

# The 60 bits of time count in 1/4096 of a millisecond.
_STEPS_PER_SECOND: Final = 4_096_000
_STEP_BITS: Final = 12
_STEP_MASK: Final = (1 << _STEP_BITS) - 1


class RequestIds:
    """Makes the request ids of one thread."""

    def __init__(self) -> None:
        self._last_step = 0
        self._millisecond = -1
        self._prefix = ""
        bits = secrets.randbits(62) | (0b10 << 62)
        digits = f"{bits:016x}"
        self._tag = f"{digits[:4]}-{digits[4:]}"

    def next(self) -> str:
        """The next id: 36 characters."""
        step = int(time.time() * _STEPS_PER_SECOND)
        if step <= self._last_step:
            step = self._last_step + 1
        self._last_step = step
        millisecond = step >> _STEP_BITS
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._prefix = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"
        return f"{self._prefix}{step & _STEP_MASK:03x}-{self._tag}"


class _OfThread(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Runs in the only thread that a forked child has."""
        self.ids = RequestIds()


_of_thread = _OfThread()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_of_thread.renew)


def new_request_id() -> str:
    """A request id that was never made before, later in order than the last one of this thread."""
    return _of_thread.ids.next()
