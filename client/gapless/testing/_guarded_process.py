"""The command line ``gapless`` in a process that ends with the one that started it.

However that one ends: no test leaves a server behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def _end_with_parent() -> None:
    """Waits for the end of standard input: a pipe whose other end only the parent holds."""
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Runs the command line."""
    threading.Thread(target=_end_with_parent, name="guard", daemon=True).start()
    from gapless_server.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
