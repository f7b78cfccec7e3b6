"""The clock that tests can advance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gapless.testing._service import require_service

if TYPE_CHECKING:
    from gapless_server.writer.clock import ManualClock


def manual_clock(start_seconds: float | None = None) -> ManualClock:
    """A clock for an ``InProcessServer`` that stands still until ``advance(seconds)``.

    Args:
        start_seconds: the time that it shows, in seconds since the Unix epoch. None: now.

    Raises:
        ServiceMissing: ``gapless[server]`` is not installed.
    """
    require_service()
    from gapless_server.writer.clock import ManualClock

    seconds = time.time() if start_seconds is None else start_seconds
    return ManualClock(round(seconds * 1_000_000))
