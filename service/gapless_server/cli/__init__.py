"""The command line `gapless`: reads what the operator asks, runs it, and says what came of it."""

from gapless_server.cli.program import main

__all__ = ["main"]
