"""Planted bugs: small patches that break a promise, each with the tests that must notice it."""

from __future__ import annotations

from tests.reliability.planted_bugs import (
    commits,
    compiled,
    kinds,
    locks_and_time,
    logs,
    memory,
    numbers,
    once,
    ownership,
    sdk,
    streams,
)
from tests.reliability.planted_bugs.planting import PlantedBug

ALL: tuple[PlantedBug, ...] = (
    *commits.BUGS,
    *compiled.BUGS,
    *logs.BUGS,
    *ownership.BUGS,
    *memory.BUGS,
    *once.BUGS,
    *streams.BUGS,
    *locks_and_time.BUGS,
    *numbers.BUGS,
    *kinds.BUGS,
    *sdk.BUGS,
)
