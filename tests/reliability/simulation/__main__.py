"""Prints the hash of the trace of each seed that is given: ``python -m ... 1 2 3``."""

from __future__ import annotations

import sys

from tests.reliability.simulation.many import live


def main() -> None:
    """Runs the worlds of the seeds on the command line."""
    for lived in live([int(seed) for seed in sys.argv[1:]]):
        sys.stdout.write(f"{lived.seed} {lived.trace_digest} {len(lived.broken)} broken\n")


main()
