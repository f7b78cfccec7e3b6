"""Reads that wait: what they would show is being committed, and not durable yet (G2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from gapless_server.checkpoint.port import Damaged
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.writer.breath import Breath

Answer = TypeVar("Answer")


class Reads:
    """The reads of one namespace that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[State], Any], asyncio.Future[Any]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, answer: Callable[[State], Answer]) -> asyncio.Future[Answer]:
        """Returns what will be done with what `answer` makes of the state."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, future))
        return future

    async def answer_all(self, state: State) -> None:
        """Answers those who wait now from a durable state, which must not change meanwhile.

        Raises Damaged where state cannot be had from the disk; whoever was not answered then
        still waits.
        """
        breath = Breath()
        left = len(self._waiting)
        while left and self._waiting:
            answer, future = self._waiting[0]
            if not future.done():
                try:
                    future.set_result(answer(state))
                except Damaged:
                    raise
                except Exception as error:
                    future.set_exception(error)
            self._waiting.popleft()
            left -= 1
            if breath.is_due:
                await breath.take()

    def refuse_all(self, refusal: Refused) -> None:
        """Refuses all who wait."""
        for _answer, future in self._waiting:
            if not future.done():
                future.set_exception(refusal)
        self._waiting.clear()
