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

from gapless import GaplessError
from gapless_server.slack.plan import Plan, Request
from gapless_server.slack.replay import Tally, replay

# How often a process says how far it is.
_REPORT_SECONDS: Final = 0.05


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

    `on_done` hears, in this process, how many commands are done. Raises ReplayFailed.
    """
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    running: dict[Connection, BaseProcess] = {}
    try:
        for channels in divide(plan, processes):
            receiver, sender = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=_work, args=(target, namespace, channels, sender), daemon=True
            )
            process.start()
            sender.close()
            running[receiver] = process
        return _gather(running, on_done)
    finally:
        for receiver, process in running.items():
            process.terminate()
            process.join()
            receiver.close()


def _gather(running: Mapping[Connection, BaseProcess], on_done: Callable[[int], None]) -> Tally:
    done = dict.fromkeys(running, 0)
    tallies: dict[Connection, Tally] = {}
    while len(tallies) < len(running):
        for receiver in wait([one for one in running if one not in tallies]):
            assert isinstance(receiver, Connection)
            match _receive(receiver, running[receiver]):
                case int(count):
                    done[receiver] = count
                case Tally() as tally:
                    tallies[receiver] = tally
                    done[receiver] = tally.sent
                case str(reason):
                    raise ReplayFailed(reason)
            on_done(sum(done.values()))
    return _total(list(tallies.values()))


def _receive(receiver: Connection, process: BaseProcess) -> object:
    try:
        return receiver.recv()
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
    return total


def _work(
    target: str, namespace: str, channels: Mapping[str, Sequence[Request]], sender: Connection
) -> None:
    """What a client process does: sends counts while it works, then its tally or its failure."""
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    next_report = 0.0

    def report(done: int) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + _REPORT_SECONDS
            sender.send(done)

    try:
        sender.send(asyncio.run(replay(target, namespace, channels, report)))
    except* GaplessError as errors:
        sender.send(str(errors.exceptions[0]))
