"""Fan-out: which of the streams that have something to send goes on next.

A round is news for every watch at once. A thousand watches that all sent it at once would keep the
writers waiting, round for round; so streams take turns, so many a second, and one that has waited
finds more rounds to put into one response.

1. Streams go on in the order in which they had something to send.
2. While no round is under way, no stream waits if there were fewer turns in a second than the limit
   allows.
3. While one is, turns are further apart: what is committed and answered first is then sent to the
   streams in one response.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final

from gapless_server.writer.feed import Feed

# So many turns are saved up while nobody wants one: what comes now and then is sent at once.
SAVED_TURNS_MAX: Final = 8
# How far apart turns are while a round is under way: at any load streams get on.
BESIDE_ROUNDS_SECONDS: Final = 0.002
# When to look again: uvloop takes half of it for no time at all, and would look in every turn.
LOOK_AGAIN_SECONDS: Final = 0.001

_Turn = asyncio.Future[None]


class Fanout:
    """The turns of all streams of a service. Belongs to the event loop it was made on."""

    def __init__(
        self,
        turns_per_second_max: int,
        round_under_way: Callable[[], bool] = lambda: False,
        beside_rounds_seconds: float = BESIDE_ROUNDS_SECONDS,
    ) -> None:
        self._round_under_way = round_under_way
        self._beside_rounds_seconds = beside_rounds_seconds
        self._loop = asyncio.get_running_loop()
        self._seconds_each = 1 / turns_per_second_max
        self._saved_seconds_max = (SAVED_TURNS_MAX - 1) * self._seconds_each
        # When all turns that were given are used up at the allowed rate.
        self._used_up_time = 0.0
        self._newest_turn_time = -math.inf
        self._asking: deque[_Turn] = deque()
        self._waiting: dict[Feed, dict[_Turn, None]] = {}
        self._next_grant: asyncio.Handle | None = None
        self._stopped = False

    async def turn(self) -> None:
        """Returns when it is the caller's turn."""
        turn: _Turn = self._loop.create_future()
        self._asking.append(turn)
        self._grant_soon()
        await turn

    async def news(self, feed: Feed, seconds_max: float) -> None:
        """Returns when a feed has news and it is the caller's turn, or after a time at most.

        Counts from the call on: what is published before it is no news.
        """
        if self._stopped:
            return
        turn: _Turn = self._loop.create_future()
        waiting = self._waiting.get(feed)
        if waiting is None:
            waiting = self._waiting[feed] = {}
            feed.news().add_done_callback(lambda _news: self._ask_all(feed))
        waiting[turn] = None
        timer = self._loop.call_later(seconds_max, _give, turn)
        try:
            await turn
        finally:
            timer.cancel()
            waiting.pop(turn, None)

    def stopped(self) -> bool:
        """Whether nobody has to wait any more."""
        return self._stopped

    def stop(self) -> None:
        """Lets all who wait go on, now and from now on."""
        self._stopped = True
        for feed in list(self._waiting):
            self._asking.extend(self._waiting.pop(feed))
        for turn in self._asking:
            _give(turn)
        self._asking.clear()

    def _ask_all(self, feed: Feed) -> None:
        """Lets all who wait for news of a feed ask for a turn."""
        self._asking.extend(self._waiting.pop(feed, ()))
        self._grant_soon()

    def _grant_soon(self) -> None:
        if self._next_grant is None:
            self._grant()

    def _grant(self) -> None:
        """Gives the next turn if the rate allows, and comes back for the others.

        One in a turn of the event loop: to send something takes several of them, and so does a
        command, which would find eight sending in each.
        """
        self._next_grant = None
        now = self._loop.time()
        next_time = self._used_up_time - self._saved_seconds_max
        if self._round_under_way():
            next_time = max(next_time, self._newest_turn_time + self._beside_rounds_seconds)
        if next_time > now and self._asking:
            self._next_grant = self._loop.call_later(LOOK_AGAIN_SECONDS, self._grant)
            return
        while self._asking:
            if _give(self._asking.popleft()):
                self._newest_turn_time = now
                self._used_up_time = max(self._used_up_time, now) + self._seconds_each
                self._next_grant = self._loop.call_soon(self._grant)
                return


def _give(turn: _Turn) -> bool:
    """Gives a turn; False if its stream has gone on already, or is no more."""
    if turn.done():
        return False
    turn.set_result(None)
    return True
