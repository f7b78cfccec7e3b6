"""Work that many streams have to do on the event loop, a little of it in each turn.

A turn in which each of a thousand streams takes in a frame is a second, and everybody else waits
for it: a call of another namespace goes through some ten turns until it is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

# As long as a writer works between two breaths, so that each of the two has its share.
TURN_SECONDS: Final = 0.0005

Given = TypeVar("Given")
Made = TypeVar("Made")


class Turns(Generic[Given, Made]):
    """Does work in the order in which it came, for so long in each turn of the loop."""

    def __init__(self) -> None:
        self._due_time = 0.0
        self._is_under_way = False
        self._waiting = deque[tuple[Callable[[Given], Made], Given, asyncio.Future[Made]]]()

    async def do(self, work: Callable[[Given], Made], given: Given) -> Made:
        """Returns what some work makes of what it is given; raises what that raises.

        If there is no time left in this turn, it waits for a later one. What is cancelled until
        then is not done.
        """
        if not self._waiting and self._has_time():
            return work(given)
        made: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, given, made))
        del given  # it may be large, and is done with as soon as the work is
        return await made

    def _has_time(self) -> bool:
        now = time.monotonic()
        if not self._is_under_way:
            self._is_under_way = True
            self._due_time = now + TURN_SECONDS
            asyncio.get_running_loop().call_soon(self._next_turn)
        return now < self._due_time

    def _next_turn(self) -> None:
        self._is_under_way = False
        while self._waiting and self._has_time():
            work, given, made = self._waiting.popleft()
            if made.cancelled():
                continue
            try:
                made.set_result(work(given))
            except Exception as error:
                made.set_exception(error)
