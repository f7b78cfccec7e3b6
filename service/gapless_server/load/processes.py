"""Runs a load: makes its channels, starts its processes together, adds up what they measured."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from gapless_server.load.plan import DriverSpec, Load
from gapless_server.load.tally import LoadResult, Tally, total
from gapless_server.load.worker import is_async, run_async, run_blocking

_READY: Final = "ready"
# How often the caller hears that the load still runs.
_NEWS_SECONDS: Final = 0.1
# As `gapless serve` has it, for every client alike: commands make many objects and no cycles.
_GC_THRESHOLDS: Final = (50_000, 50, 100)

# Processes are forked from one that has the imports behind it, and has never used gRPC, which
# does not survive a fork.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["gapless", __name__])


class LoadFailed(Exception):
    """A process of the load could not go on; the text says why."""


def run_load(
    spec: DriverSpec, load: Load, on_news: Callable[[], None] = lambda: None
) -> LoadResult:
    """Runs a load to its end.

    `on_news` is called several times a second meanwhile. Raises LoadFailed, and what `on_news`
    raises; no process is left then.
    """
    running: dict[Connection, BaseProcess] = {}
    try:
        _start(running, spec, load, prepares=True)
        for connection, process in running.items():
            _expect_ready(connection, process)
        for _ in range(load.processes - 1):
            _start(running, spec, load, prepares=False)
        for connection, process in list(running.items())[1:]:
            _expect_ready(connection, process)
        for connection in running:
            connection.send(_READY)
        return total(load, _gather(running, on_news))
    finally:
        for connection, process in running.items():
            process.terminate()
            process.join()
            connection.close()


def _start(
    running: dict[Connection, BaseProcess], spec: DriverSpec, load: Load, *, prepares: bool
) -> None:
    ours, theirs = _context.Pipe()
    seed = len(running) + 1
    process: BaseProcess = _context.Process(
        target=_work, args=(spec, load, seed, prepares, theirs), daemon=True
    )
    process.start()
    theirs.close()
    running[ours] = process


def _expect_ready(connection: Connection, process: BaseProcess) -> None:
    if (word := _receive(connection, process)) != _READY:
        raise LoadFailed(str(word))


def _gather(running: dict[Connection, BaseProcess], on_news: Callable[[], None]) -> list[Tally]:
    tallies: dict[Connection, Tally] = {}
    while len(tallies) < len(running):
        for connection in wait([one for one in running if one not in tallies], _NEWS_SECONDS):
            assert isinstance(connection, Connection)
            word = _receive(connection, running[connection])
            if not isinstance(word, Tally):
                raise LoadFailed(str(word))
            tallies[connection] = word
        on_news()
    return list(tallies.values())


def _receive(connection: Connection, process: BaseProcess) -> object:
    try:
        return connection.recv()
    except EOFError:
        process.join()
        return f"a process of the load ended with exit code {process.exitcode}"


def _work(spec: DriverSpec, load: Load, seed: int, prepares: bool, connection: Connection) -> None:
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)

    def begin_together() -> None:
        connection.send(_READY)
        connection.recv()

    try:
        connection.send(_run(spec.make(), load, seed, prepares, begin_together))
    except Exception:
        connection.send(traceback.format_exc())


def _run(
    driver: Any, load: Load, seed: int, prepares: bool, begin_together: Callable[[], None]
) -> Tally:
    if not is_async(driver):
        if prepares:
            driver.prepare(load.channel_ids())
        return run_blocking(driver, load, seed, begin_together)

    async def prepare_and_run() -> Tally:
        if prepares:
            await driver.prepare(load.channel_ids())
        return await run_async(driver, load, seed, begin_together)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(prepare_and_run())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Returns what makes the faster event loop where there is one, for every system alike."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
