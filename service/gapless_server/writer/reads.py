"""Reads that wait: what they would show is being committed, and not durable yet (G2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from gapless_server.checkpoint.port import Damaged
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.writer.breath import Breath

Answer = TypeVar("Answer")


class _Waiting(NamedTuple):
    """A read that waits: what makes its answer, and in steps if that takes long."""

    answer: Callable[[State], Any]
    future: asyncio.Future[Any]
    has_steps: bool


class Reads:
    """The reads of one namespace that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, answer: Callable[[State], Answer]) -> asyncio.Future[Answer]:
        """Returns what will be done with what `answer` makes of the state."""
        return self._put(answer, has_steps=False)

    def wait_for_steps(
        self, answer: Callable[[State], Generator[None, None, Answer]]
    ) -> asyncio.Future[Answer]:
        """Returns what the steps that `answer` makes of the state will come to."""
        return self._put(answer, has_steps=True)

    def _put(self, answer: Callable[[State], Any], *, has_steps: bool) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(answer, future, has_steps))
        return future

    async def answer_all(self, state: State) -> None:
        """Answers those who wait now from a durable state, which must not change meanwhile.

        Raises Damaged where state cannot be had from the disk; whoever was not answered then
        still waits.
        """
        if not self._waiting:
            return
        breath = Breath()
        left = len(self._waiting)
        while left and self._waiting:
            waiting = self._waiting[0]
            if not waiting.future.done():
                await self._answer(waiting, state, breath)
            # Unless all were refused meanwhile.
            if self._waiting and self._waiting[0] is waiting:
                self._waiting.popleft()
            left -= 1
            if breath.is_due:
                await breath.take()

    async def _answer(self, waiting: _Waiting, state: State, breath: Breath) -> None:
        answer, future, has_steps = waiting
        try:
            found = answer(state)
            if has_steps:
                found = await _end_of(found, future, breath)
        except Damaged:
            raise
        except Exception as error:
            if not future.done():
                future.set_exception(error)
            return
        if not future.done():  # who asked may have gone in a pause
            future.set_result(found)

    def refuse_all(self, refusal: Refused) -> None:
        """Refuses all who wait."""
        for waiting in self._waiting:
            if not waiting.future.done():
                waiting.future.set_exception(refusal)
        self._waiting.clear()


async def _end_of(
    steps: Generator[None, None, Answer], future: asyncio.Future[Answer], breath: Breath
) -> Answer | None:
    """Returns what steps come to, with breaths in their pauses; None once nobody waits for it."""
    while not future.done():
        try:
            next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        if breath.is_due:
            await breath.take()
    return None
