"""Ranges of numbers from what callers have at hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from gapless.v1.pools_pb2 import NumberRange

Numbers: TypeAlias = int | range | NumberRange
"""One number; or a ``range``, such as ``range(8000, 8100)`` for 8000 to 8099; or a range of a pool
that was read."""


def number_ranges(name: str, numbers: Iterable[Numbers]) -> list[NumberRange]:
    """Numbers and ranges in their form on the wire, in their order; `name` is the argument's.

    Raises:
        TypeError: one of them is something else.
        ValueError: a range has no numbers, or leaves some out.
    """
    return [_number_range(name, one) for one in numbers]


def _number_range(name: str, numbers: Numbers) -> NumberRange:
    if isinstance(numbers, NumberRange):
        return numbers
    if isinstance(numbers, int):
        return NumberRange(first=numbers, last=numbers)
    if not isinstance(numbers, range):
        raise TypeError(
            f"{name} has {numbers!r}; expected numbers, such as 80, and ranges, such as"
            " range(80, 91) for 80 to 90"
        )
    if numbers.step != 1 or numbers.stop <= numbers.start:
        raise ValueError(
            f"{name} has {numbers!r}, which is not a range of numbers that follow each other;"
            " expected at least one number and a step of 1"
        )
    return NumberRange(first=numbers.start, last=numbers.stop - 1)
