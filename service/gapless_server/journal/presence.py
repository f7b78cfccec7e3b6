"""Presence: whether the files of a log are still where it was opened.

A file that somebody removes, or puts another in the place of, stays open: what is written to it
from then on is synced, and gone with the process. Nobody is told of it, so it is looked for.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from gapless_server.journal.port import Corrupt

# The files of a log are looked for so often at most, while it is written to.
LOOK_SECONDS: Final = 1.0


class Presence:
    """Looks for the files of one log while it is written to. Usable in one thread at a time."""

    def __init__(self, log: Path) -> None:
        """Takes the files as they are, once the log is open."""
        paths = (log, log.with_name(f"{log.name}-wal"))
        self._files = {path: _file(path) for path in paths if path.exists()}
        self._look_time = time.monotonic() + LOOK_SECONDS

    def require(self) -> None:
        """Raises Corrupt if one of them is gone or another one; looks now and then only.

        Once it has raised it looks each time.
        """
        now = time.monotonic()
        if now < self._look_time:
            return
        for path, known in self._files.items():
            if _file(path) != known:
                raise Corrupt(
                    f"{path} was removed or replaced while it was served: nothing more is written;"
                    " stop the service, put the file back, and start it again"
                )
        self._look_time = now + LOOK_SECONDS


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
