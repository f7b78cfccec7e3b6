"""The command line ``gapless`` in a process that ends with the one that started it.

However that one ends: no test leaves a server behind.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

_STANDARD_INPUT: Final = 0


def _end_with_parent() -> None:
    """Waits for the end of standard input: a pipe whose other end only the parent holds."""
    # Not through sys.stdin: the interpreter would end in a fault over the lock of its buffer.
    while os.read(_STANDARD_INPUT, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Runs the command line."""
    threading.Thread(target=_end_with_parent, name="guard", daemon=True).start()
    from gapless_server.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
