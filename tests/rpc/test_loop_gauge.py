"""The gauge of the event loop tells its longest pause, and takes nothing else for one."""

from __future__ import annotations

import asyncio
import time

from gapless_server.rpc.loop_gauge import LOOK_SECONDS, LoopGauge

BUSY_SECONDS = 0.2


def work(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


async def test_one_long_piece_of_work_is_told_in_processor_time() -> None:
    gauge = LoopGauge()
    gauge.start()

    work(BUSY_SECONDS)
    await asyncio.sleep(2 * LOOK_SECONDS)  # so that it looks once more
    gauge.stop()

    assert gauge.longest_seconds >= BUSY_SECONDS


async def test_much_work_in_small_pieces_is_no_pause() -> None:
    gauge = LoopGauge()
    gauge.start()

    for _ in range(200):
        work(BUSY_SECONDS / 200)
        await asyncio.sleep(0)
    gauge.stop()

    assert gauge.longest_seconds < BUSY_SECONDS / 2


async def test_a_thread_that_does_not_run_is_no_pause() -> None:
    gauge = LoopGauge()
    gauge.start()

    time.sleep(BUSY_SECONDS)  # noqa: ASYNC251 - the machine does something else
    await asyncio.sleep(2 * LOOK_SECONDS)  # so that it looks once more
    gauge.stop()

    assert gauge.longest_seconds < BUSY_SECONDS / 2


async def test_it_begins_anew_when_it_is_started_again() -> None:
    gauge = LoopGauge()
    gauge.start()
    work(BUSY_SECONDS)
    await asyncio.sleep(2 * LOOK_SECONDS)  # so that it looks once more

    gauge.start()
    gauge.stop()

    assert gauge.longest_seconds == 0
