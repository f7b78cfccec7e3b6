"""Standard error for what nobody's work may depend on: log lines and progress bars."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress


class StandardError(io.TextIOBase):
    """Takes text for as long as there is room for it.

    A line that is lost must not end the service, nor keep it from ending when it has to, nor make
    a failure of what was done: it may go to a file, on the very disk that is full. Nothing is
    buffered, which could fail later.
    """

    def write(self, text: str) -> int:
        """Writes a text, if that is possible."""
        with suppress(OSError):
            os.write(self.fileno(), text.encode(errors="backslashreplace"))
        return len(text)

    def fileno(self) -> int:
        """Returns the number of the open file. Raises OSError if there is none."""
        return sys.stderr.fileno()

    def isatty(self) -> bool:
        """Says whether it is a terminal."""
        return sys.stderr.isatty()
