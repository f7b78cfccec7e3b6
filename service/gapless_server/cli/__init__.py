"""The command line `gapless`: reads what the operator asks, runs it, and says what came of it."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["main"]

_FAILED: Final = 1


def main() -> None:
    """Runs the command line and exits with one of the documented codes.

    Imported late: the script `gapless` is installed with the SDK alone too, without what it needs.
    """
    try:
        from gapless_server.cli.program import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("gapless"):
            raise
        sys.stderr.write(
            f"Error: the command line comes with the service and lacks {error.name!r};"
            " install the service beside the SDK: pip install 'gapless[server]'\n"
        )
        sys.exit(_FAILED)
    run()
