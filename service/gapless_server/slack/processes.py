"""Divides a plan among client processes and gathers what came of it."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from gapless import AsyncClient, GaplessError
from gapless.errors import LogCorrupt
from gapless_server.slack.plan import Plan, Request
from gapless_server.slack.replay import SECONDS_MAX, Tally, replay

# The scope of the request ids of every replay: a message is the same in each.
CALLER: Final = "slack-import"

# How often a process says how far it is, and how long to wait for that before saying the same.
_REPORT_SECONDS: Final = 0.02
_NEWS_SECONDS: Final = 0.2

_READY: Final = "ready"

# Processes are forked from one that has the imports behind it, and has never used gRPC, which
# does not survive a fork.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["gapless", __name__])


class ReplayFailed(Exception):
    """A client process could not go on; the text says why."""


def divide(plan: Plan, processes: int) -> list[dict[str, list[Request]]]:
    """Returns the channels of each process; a channel is whole, the processes are even.

    There are no more of them than there are channels.
    """
    parts: list[dict[str, list[Request]]] = [{} for _ in range(min(processes, len(plan.commands)))]
    sizes = [0] * len(parts)
    # The largest first, each to whoever has the least.
    for channel, commands in sorted(plan.commands.items(), key=lambda item: -len(item[1])):
        least = sizes.index(min(sizes))
        parts[least][channel] = commands
        sizes[least] += len(commands)
    return parts


def replay_in_processes(
    plan: Plan,
    target: str,
    namespace: str,
    processes: int,
    on_done: Callable[[int], None] = lambda _done: None,
) -> Tally:
    """Replays a plan and returns what came of all commands.

    All processes begin at the same time, once each has reached the service. `on_done` hears, in
    this process, how many commands are done, and is called also while none is. Raises
    ReplayFailed, LogCorrupt, and what `on_done` raises.
    """
    running: dict[Connection, BaseProcess] = {}
    try:
        for channels in divide(plan, processes):
            ours, theirs = _context.Pipe()
            process: BaseProcess = _context.Process(
                target=_work, args=(target, namespace, channels, theirs), daemon=True
            )
            process.start()
            theirs.close()
            running[ours] = process
        for connection, process in running.items():
            if (ready := _receive(connection, process)) != _READY:
                raise ReplayFailed(str(ready))
        for connection in running:
            connection.send(_READY)
        return _gather(running, on_done)
    finally:
        for connection, process in running.items():
            process.terminate()
            process.join()
            connection.close()


def _gather(running: Mapping[Connection, BaseProcess], on_done: Callable[[int], None]) -> Tally:
    done = dict.fromkeys(running, 0)
    tallies: dict[Connection, Tally] = {}
    while len(tallies) < len(running):
        working = [one for one in running if one not in tallies]
        for connection in wait(working, _NEWS_SECONDS):
            assert isinstance(connection, Connection)
            match _receive(connection, running[connection]):
                case int(count):
                    done[connection] = count
                case Tally() as tally:
                    tallies[connection] = tally
                    done[connection] = tally.sent
                case LogCorrupt() as error:
                    raise error
                case reason:
                    raise ReplayFailed(str(reason))
        on_done(sum(done.values()))
    return _total(list(tallies.values()))


def _receive(connection: Connection, process: BaseProcess) -> object:
    try:
        return connection.recv()
    except EOFError:
        process.join()
        return f"a client process ended with exit code {process.exitcode}"


def _total(tallies: Sequence[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.sent += tally.sent
        total.retried += tally.retried
        total.replayed += tally.replayed
        total.refused += tally.refused
        total.acknowledged += tally.acknowledged
        total.latencies_seconds += tally.latencies_seconds
        total.began = min(total.began, tally.began)
        total.ended = max(total.ended, tally.ended)
    return total


def _work(
    target: str, namespace: str, channels: Mapping[str, Sequence[Request]], connection: Connection
) -> None:
    """What a client process does.

    Says that it is ready, waits for the word to begin, sends counts while it works, and at the
    end its tally, or why it could not go on.
    """
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        connection.send(asyncio.run(_replay(target, namespace, channels, connection)))
    except* LogCorrupt as damaged:
        connection.send(damaged.exceptions[0])
    except* GaplessError as errors:
        connection.send(str(errors.exceptions[0]))


async def _replay(
    target: str, namespace: str, channels: Mapping[str, Sequence[Request]], connection: Connection
) -> Tally:
    next_report = 0.0

    def report(done: int) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + _REPORT_SECONDS
            connection.send(done)

    async with AsyncClient(
        target, namespace=namespace, caller=CALLER, timeout=SECONDS_MAX, max_attempts=1
    ) as client:
        await client.operations.server_info()
        connection.send(_READY)
        connection.recv()
        return await replay(client, channels, report)
