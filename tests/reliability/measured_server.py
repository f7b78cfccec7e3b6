"""A server in this process that tells how long its event loop did one thing only."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable

from gapless.testing import InProcessServer
from gapless_server.rpc.loop_gauge import LOOK_SECONDS, LoopGauge


class MeasuredServer(InProcessServer):
    """Takes the arguments of InProcessServer."""

    async def _serve(self, started: concurrent.futures.Future[None]) -> None:
        self._gauge = LoopGauge()
        self._gauge.start()
        try:
            await super()._serve(started)
        finally:
            self._gauge.stop()

    async def begin_anew(self) -> None:
        """Forgets what was."""
        await self._after_a_look(self._gauge.start)

    async def longest_seconds(self) -> float:
        """Returns the longest pause since then, in processor time."""
        await self._after_a_look(lambda: None)
        return self._gauge.longest_seconds

    async def _after_a_look(self, function: Callable[[], None]) -> None:
        """Runs a function on the server's loop once its gauge has seen what goes on now."""

        async def run() -> None:
            await asyncio.sleep(2 * LOOK_SECONDS)  # so that it looks once more
            function()

        assert self._loop is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))
