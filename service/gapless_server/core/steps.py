"""Steps: work that takes long, as a generator that stops wherever others may have their turn.

Whoever goes through the steps says what a pause is for: a writer takes a breath in it, everybody
else goes straight on. Nobody may change state meanwhile, nor look at it if the steps change it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, Generic, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")
Item = TypeVar("Item")

# So many rows, some 5 ms, are looked at or changed without a pause.
ROWS_BETWEEN_PAUSES: Final = 500


def whole_answer(steps: Generator[None, None, Answer]) -> Answer:
    """Returns what steps come to, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def handfuls(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yields some items after the others, as many at a time as there are between two pauses."""
    for start in range(0, len(items), ROWS_BETWEEN_PAUSES):
        yield items[start : start + ROWS_BETWEEN_PAUSES]


def let_go(items: list[Item]) -> Generator[None, None, None]:
    """Frees the items of a list that nobody needs any more: all at once would take long."""
    while items:
        del items[-ROWS_BETWEEN_PAUSES:]
        yield


class InSteps(Generic[Parameters, Answer]):
    """A decider or an evolver that takes long: `steps` has its pauses, a call has none."""

    __slots__ = ("steps",)

    def __init__(self, steps: Callable[Parameters, Generator[None, None, Answer]]) -> None:
        """Decorates a generator function."""
        self.steps = steps

    def __call__(self, *arguments: Parameters.args, **named: Parameters.kwargs) -> Answer:
        """Does all of it."""
        return whole_answer(self.steps(*arguments, **named))
