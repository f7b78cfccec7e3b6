"""Processes that are forked from one that has the imports behind it and no threads.

There is one such process for all tests of a run, and what it has imported is settled when it
starts; so it is settled here.
"""

from __future__ import annotations

import multiprocessing
from typing import Final

# The commands of the command line, which are imported only when they are asked for.
_COMMANDS: Final = ("serve", "backup", "restore", "export", "import_log")

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "pytest",
        "gapless",
        *(f"gapless_server.cli.{name}" for name in _COMMANDS),
        "tests.scenarios.processes",
        "tests.reliability.forked_service",
    ]
)
