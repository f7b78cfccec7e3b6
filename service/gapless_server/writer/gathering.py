"""Gathering: a round of calls waits for those that are on their way, and never for time to pass.

Calls come one by one, each over several turns of the event loop, and a round costs as much as five
commands: were each call a round of its own, callers at once would be served no quicker than one
after another.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from gapless_server.writer.queue import FrameQueue

# A call that was on its way when the last one came is there after so many turns of the loop.
TURNS_OF_A_CALL: Final = 8
# More calls make a round no cheaper for each.
CALLS_MAX: Final = 50
# Turns are short, unless the loop is busy with something else; then the next call is waited for no
# longer than this.
SECONDS_WITHOUT_A_CALL_MAX: Final = 0.002
# While call comes after call, the first of them waits no longer than this. Where more than a dozen
# callers wait, they wait longer than that for the calls before theirs.
SECONDS_MAX: Final = 0.02
# After so many rounds of one call the caller is taken to be alone, until two come together.
ROUNDS_ALONE: Final = 8


class Gathering:
    """Gathers the calls of one namespace."""

    def __init__(self, queue: FrameQueue) -> None:
        self._queue = queue
        self._rounds_alone = 0

    async def wait(self) -> None:
        """Returns when the round is to begin.

        At once if there is a frame of a pipeline, or comes: that was gathered by its client.
        """
        queue = self._queue
        if not 0 < len(queue) < CALLS_MAX or not queue.has_only_calls():
            return
        if len(queue) > 1:
            self._rounds_alone = 0
        elif self._rounds_alone >= ROUNDS_ALONE:
            return
        await self._until_nobody_comes()
        self._rounds_alone = self._rounds_alone + 1 if len(queue) == 1 else 0

    async def _until_nobody_comes(self) -> None:
        queue = self._queue
        began = last_came = now = time.monotonic()
        calls, turns_left = len(queue), TURNS_OF_A_CALL
        while (
            turns_left
            and calls < CALLS_MAX
            and now - last_came < SECONDS_WITHOUT_A_CALL_MAX
            and now - began < SECONDS_MAX
            and queue.has_only_calls()
        ):
            await asyncio.sleep(0)
            now = time.monotonic()
            turns_left -= 1
            if len(queue) > calls:
                calls, turns_left, last_came = len(queue), TURNS_OF_A_CALL, now
