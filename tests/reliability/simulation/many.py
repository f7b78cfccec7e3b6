"""Many worlds, one after another, as fast as they go."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.reliability.simulation.world import Lived, World

# After so many worlds what they left behind is collected: some 40 MB each.
WORLDS_BETWEEN_COLLECTIONS = 4


def live(seeds: Sequence[int]) -> Iterator[Lived]:
    """Runs the worlds of some seeds."""
    with _collecting_by_hand():
        for number, seed in enumerate(seeds, start=1):
            yield World(seed).run()
            if number % WORLDS_BETWEEN_COLLECTIONS == 0:
                gc.collect()


@contextmanager
def _collecting_by_hand() -> Iterator[None]:
    """Lets no garbage collection come in between: it costs time, and ends things when it likes."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
