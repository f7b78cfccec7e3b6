"""Log lines: readable on a terminal, one JSON object a line otherwise."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog
from structlog.types import Processor

from gapless_server.settings import Settings

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _StandardError:
    """Takes log lines for as long as there is room for them.

    A line that is lost must not end the service, nor keep it from ending when it has to: logs may
    go to a file, on the very disk that is full. Nothing is buffered, which could fail later.
    """

    def write(self, text: str) -> None:
        """Writes a line, if that is possible."""
        with suppress(OSError):
            os.write(sys.stderr.fileno(), text.encode())

    def flush(self) -> None:
        """Does nothing: there is no buffer."""


def configure_logs(settings: Settings) -> None:
    """Sets how this process logs, to standard error. Never called by a library."""
    # Tracebacks come without local variables, which hold payloads and keys.
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    form: list[Processor]
    if console:
        plain = structlog.dev.plain_traceback
        form = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        ]
    else:
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        form = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *form,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
