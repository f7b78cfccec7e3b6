"""Sends the log lines of a server's thread to its file, and leaves all others where they were."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

_files: Final[dict[int, TextIO]] = {}


class _ThreadLogger:
    """What structlog hands rendered lines to: writes each where its thread's lines go."""

    def msg(self, message: str) -> None:
        print(message, file=_files.get(threading.get_ident(), sys.stdout), flush=True)

    log = debug = info = warn = warning = error = exception = critical = fatal = failure = msg


@contextmanager
def log_of_this_thread_to(path: Path) -> Iterator[None]:
    """Appends what structlog logs in this thread to a file, for as long as the context lasts.

    A structlog that somebody else configured is left as it is.
    """
    import structlog

    if not structlog.is_configured():

        def factory(*_: Any) -> _ThreadLogger:
            return _ThreadLogger()

        # Without local variables in tracebacks: they would show what a command holds.
        renderer = structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        )
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
            logger_factory=factory,
        )
    with path.open("a", encoding="utf-8") as file:
        _files[threading.get_ident()] = file
        try:
            yield
        finally:
            del _files[threading.get_ident()]
