"""Real runs with faults, and whether all that their clients saw fits one order (G4).

Several client processes, half of them behind a proxy that cuts, use channels, configuration, locks,
a pool and batches; in every other run the service is killed in the middle. What it has on the disk
is the order; everything that anybody was told must fit it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from gapless import AsyncClient, Entry
from gapless.testing import SubprocessServer
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from tests.reliability.harness import Run, harness
from tests.reliability.histories import ClientProcesses, Operation
from tests.reliability.hostile_tcp import hostile_tcp_proxy
from tests.reliability.linear_order import Checker
from tests.reliability.sequential_model import CHANNELS, POOL, POOL_SIZE
from tests.reliability.stored_logs import breaches, stored_entries
from tests.scenarios.processes import Place

PROCESSES = 4
OPERATIONS_SMALL = 2_000
OPERATIONS_FULL = 20_000
# A cut after so many bytes of a connection, on average.
CUT_BYTES = 50_000.0
PREPARED = len(CHANNELS) + 1

PROMISED = [
    "commands_out_of_order", "reads_out_of_order", "wrong_answers", "wrong_effects",
    "answers_lost", "done_twice", "called_failed_and_done", "refused_and_done", "breaches",
]  # fmt: skip


async def killed_in_the_middle(
    server: SubprocessServer, client: AsyncClient, entries_before: int
) -> None:
    """Kills the service once it has committed so much, and starts it again."""
    async with client.events.watch(from_start=True) as watch:
        async for item in watch:
            if isinstance(item, Entry) and item.position >= entries_before:
                break
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def one_history(
    run: Run, server: SubprocessServer, namespace: str, operations: int, *, is_killed: bool
) -> list[Operation]:
    """Lets clients work, with faults, until they have done so many operations."""
    chance = random.Random(f"{run.seed} {namespace}")
    async with (
        AsyncClient(server.address, namespace=namespace, timeout=60.0) as client,
        hostile_tcp_proxy(server.address, chance, CUT_BYTES) as proxy,
    ):
        for channel_id in CHANNELS:
            await client.channels.create(channel_id)
        await client.pools.create(POOL, [range(1, POOL_SIZE + 1)])
        places = [
            Place(proxy.address if index % 2 else server.address, namespace)
            for index in range(PROCESSES)
        ]
        processes = ClientProcesses(places, f"{run.seed} {namespace}", operations)
        try:
            if is_killed:
                # Far fewer than will be committed: two thirds of the operations are commands.
                await killed_in_the_middle(server, client, chance.randrange(10, operations // 2))
                run.count("kills")
            history = await asyncio.to_thread(processes.history)
        finally:
            processes.end()
        run.count("cuts", sum(proxy.faults.values()))
    return history


def log_of(server: SubprocessServer, namespace: str) -> Iterator[StoredEntry]:
    """Yields the log without what it began with."""
    return islice(stored_entries(server.settings.data, namespace), PREPARED, None)


def count(run: Run, history: list[Operation]) -> None:
    run.count("operations", len(history))
    run.count("answered", sum(bool(operation.position) for operation in history))
    run.count("refused", sum(bool(operation.refusal) for operation in history))
    run.count("reads", sum(operation.kind.startswith("read_") for operation in history))
    run.count("without_an_answer", sum(operation.returned == float("inf") for operation in history))


@pytest.mark.timeout(0)
def test_g4_all_that_clients_see_in_runs_with_faults_fits_the_order_of_the_log(
    tmp_path: Path,
) -> None:
    with harness("linearizability", small=10, full=200, promised=PROMISED) as run:
        operations = OPERATIONS_FULL if run.tier == "full" else OPERATIONS_SMALL
        with SubprocessServer(directory=tmp_path) as server:
            for number in range(run.times):
                namespace = f"history-{number}"
                is_killed = number % 2 == 0
                history = asyncio.run(
                    one_history(run, server, namespace, operations, is_killed=is_killed)
                )
                count(run, history)
                Checker(history, run.violation).check(log_of(server, namespace))
                for breach in breaches(server.settings.data, namespace):
                    run.violation("breaches", breach)
