"""Client processes: each has a connection of its own, and all begin their work at one moment."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from threading import BrokenBarrierError
from typing import Any, Final

from gapless import Client
from tests.forking import context

# What a process does with its client; picklable: a function of a module, or a partial of one.
Work = Callable[[Client], Any]

# A hang must end the test; a slow machine must not.
SECONDS_MAX: Final = 60.0


@dataclass(frozen=True)
class Place:
    """Where clients meet."""

    address: str
    namespace: str


@dataclass(frozen=True)
class _Outcome:
    """What a process sends home: the result of its work, or what it raised, as text."""

    result: Any
    failure: str


class ProcessFailed(Exception):
    """A client process raised something; has its traceback."""


def at_once(place: Place, works: Sequence[Work]) -> list[Any]:
    """Runs each work in a process of its own, with a connected client, all from one moment on.

    Returns:
        What the works returned, in their order.

    Raises:
        ProcessFailed: one of them raised, or did not end in time.
    """
    start = context.Barrier(len(works))
    running: list[tuple[ForkServerProcess, Connection]] = []
    give_up_time = time.monotonic() + SECONDS_MAX
    try:
        for work in works:
            home, away = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(away, start, place, work))
            process.start()
            away.close()
            running.append((process, home))
        outcomes = [_outcome_of(home, give_up_time) for _process, home in running]
    finally:
        for process, home in running:
            home.close()
            _end(process, give_up_time)
    failures = [outcome.failure for outcome in outcomes if outcome.failure]
    if failures:
        # One that raised keeps others from the start: what it raised says more.
        raise ProcessFailed(max(failures, key=len))
    return [outcome.result for outcome in outcomes]


def _run(home: Connection, start: Any, place: Place, work: Work) -> None:
    """Runs in the process."""
    try:
        with Client(place.address, namespace=place.namespace) as client:
            client.operations.server_info()  # so that all are connected when they begin
            start.wait(SECONDS_MAX)
            outcome = _Outcome(work(client), failure="")
    except BrokenBarrierError:
        outcome = _Outcome(None, failure="another process did not come to the start")
    except BaseException:
        start.abort()
        outcome = _Outcome(None, failure=traceback.format_exc())
    home.send(outcome)


def _outcome_of(home: Connection, give_up_time: float) -> _Outcome:
    if not home.poll(max(give_up_time - time.monotonic(), 0.0)):
        return _Outcome(None, failure=f"a client process did not end within {SECONDS_MAX} seconds")
    outcome: _Outcome = home.recv()
    return outcome


def _end(process: ForkServerProcess, give_up_time: float) -> None:
    """Waits for a process that has sent its outcome, and kills one that has not in time."""
    process.join(max(give_up_time - time.monotonic(), 0.0))
    if process.is_alive():
        process.kill()
        process.join()
    process.close()
