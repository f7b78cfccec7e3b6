"""Request ids: unique for ever, made in time order.

Time order matters to the service, whose index of request ids grows at its end then. An id is a
UUID of version 7 (RFC 9562, with the clock's finer digits in place of the first random ones), so
it also fits wherever a UUID does.

Invariants:
1. The ids of a process grow from one to the next, as text, whatever its clock does.
2. No two processes share a tag of 62 random bits; a fork draws a new one.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import Final

# 1/4096 of a millisecond, the step of the 60 bits that are the time, in nanoseconds.
_STEP_NANOSECONDS: Final = 1_000_000 / 4096
_STEPS_PER_MILLISECOND_BITS: Final = 12


class RequestIds:
    """Makes request ids; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_step = 0
        self._millisecond = -1
        self._prefix = ""
        self._tag = self._new_tag()

    @staticmethod
    def _new_tag() -> str:
        bits = secrets.randbits(62) | (0b10 << 62)
        digits = f"{bits:016x}"
        return f"{digits[:4]}-{digits[4:]}"

    def renew_after_fork(self) -> None:
        """Makes this a maker of its own in a child process, whatever the parent was doing."""
        self._lock = threading.Lock()
        self._tag = self._new_tag()

    def next(self) -> str:
        """The next id: 36 characters."""
        with self._lock:
            step = int(time.time_ns() / _STEP_NANOSECONDS)
            if step <= self._last_step:
                step = self._last_step + 1
            self._last_step = step
            millisecond = step >> _STEPS_PER_MILLISECOND_BITS
            if millisecond != self._millisecond:
                self._millisecond = millisecond
                self._prefix = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"
            return f"{self._prefix}{step & 0xFFF:03x}-{self._tag}"


_ids = RequestIds()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_ids.renew_after_fork)


def new_request_id() -> str:
    """A request id that no process has made before, later in order than the last one made here."""
    return _ids.next()
