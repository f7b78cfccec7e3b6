"""The SDK behind proxies that drop, double, delay, cut and half-close: one effect each (G3, G8).

One proxy spoils connections, in both colours of the SDK; another spoils single calls and frames,
which bytes alone do not allow: what was answered is forwarded again, or comes after its failure.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gapless.testing import SubprocessServer
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from tests.reliability.harness import Run, harness
from tests.reliability.hostile_rpc import hostile_rpc_proxy
from tests.reliability.hostile_tcp import hostile_tcp_proxy
from tests.reliability.sdk_callers import Caller, Sent, prepare
from tests.reliability.stored_logs import breaches, stored_entries
from tests.sdk.colours import COLOURS, make_client

NAMESPACE = "hostile"
CLIENTS_EACH = 2
CALLERS_EACH = 4
# A connection has a fault after so many bytes, on average: some ten calls of one caller.
FAULT_BYTES = 1_500.0
FAULT_SHARE = 0.3

ERRORS = Path(__file__).resolve().parents[2] / "docs" / "ERRORS.md"

PROMISED = [
    "commands_twice", "answers_lost", "answers_wrong", "called_failed_and_done",
    "undocumented_exceptions", "patient_calls_failed", "breaches",
]  # fmt: skip


def documented() -> set[str]:
    """The names of the exceptions in docs/ERRORS.md."""
    return set(re.findall(r"`([A-Z][A-Za-z]+)`", ERRORS.read_text()))


async def callers_at_work(run: Run, address: str) -> list[Caller]:
    """Lets callers of both colours call through both proxies, to the end."""
    async with AsyncExitStack() as stack:
        chance = random.Random(run.seed)
        tcp = await stack.enter_async_context(hostile_tcp_proxy(address, chance, FAULT_BYTES))
        rpc = await stack.enter_async_context(hostile_rpc_proxy(address, chance, FAULT_SHARE))
        plain = await stack.enter_async_context(make_client("async", address, namespace=NAMESPACE))
        message_id = await prepare(plain)
        callers = []
        ways = itertools.product((tcp, rpc), COLOURS, range(CLIENTS_EACH), range(CALLERS_EACH))
        for number, (proxy, colour, _client, caller) in enumerate(ways):
            if caller == 0:
                client = make_client(colour, proxy.address, namespace=NAMESPACE)
                stack.push_async_callback(client.close)
            callers.append(
                Caller(f"c{number}", client, message_id, random.Random(f"{run.seed} {number}"))
            )
        each = max(run.times // len(callers), 1)
        await asyncio.gather(*(caller.call(each) for caller in callers))
        for fault, number in (tcp.faults + rpc.faults).items():
            run.count(fault, number)
    return callers


def check_exceptions(run: Run, callers: Iterable[Caller]) -> None:
    names = documented()
    for caller in callers:
        for call in (*caller.sent, *caller.reads):
            if call.error is None:
                continue
            run.count(f"raised_{type(call.error).__name__}")
            if type(call.error).__name__ not in names:
                run.violation("undocumented_exceptions", f"{call!r}")
            elif call.is_patient:
                run.violation("patient_calls_failed", f"{call!r}")


def check_effects(run: Run, sent: Iterable[Sent], log: Mapping[str, list[StoredEntry]]) -> None:
    for command in sent:
        entries = log.get(command.request_id, [])
        if len(entries) > 1:
            run.violation("commands_twice", f"{command!r} is in the log {len(entries)} times")
        if command.answer is not None:
            run.count("answered")
            if not entries:
                run.violation("answers_lost", f"{command!r} is not in the log")
            elif not is_its_answer(command, entries[0]):
                run.violation("answers_wrong", f"{command!r}, but the log has {entries[0]}")
        elif entries:
            run.count("done_without_an_answer")
            if command.error is not None and not getattr(command.error, "outcome_unknown", True):
                run.violation("called_failed_and_done", f"{command!r}")


def is_its_answer(command: Sent, stored: StoredEntry) -> bool:
    """Whether an answer is that of the entry, wherever it came from."""
    receipt = command.answer.receipt
    if receipt.position != stored.entry.position:
        return False
    kind = stored.answer.WhichOneof("result")
    if kind == "execute_batch":
        return True  # its members were handed out one by one
    said = type(command.answer)()
    said.CopyFrom(command.answer)
    said.ClearField("receipt")
    kept = type(said)()
    kept.CopyFrom(getattr(stored.answer, str(kind)))
    kept.ClearField("receipt")
    return bool(said == kept)


@pytest.mark.timeout(0)
def test_g3_behind_hostile_proxies_every_command_has_one_effect_and_only_known_errors_are_raised(
    tmp_path: Path,
) -> None:
    with harness("hostile_proxy", small=200, full=20_000, promised=PROMISED) as run:
        with SubprocessServer(directory=tmp_path) as server:
            callers = asyncio.run(callers_at_work(run, server.address))
        log: dict[str, list[StoredEntry]] = {}
        for stored in stored_entries(server.settings.data, NAMESPACE):
            log.setdefault(stored.entry.request_id, []).append(stored)
        check_exceptions(run, callers)
        sent = [command for caller in callers for command in caller.sent]
        check_effects(run, sent, log)
        for breach in breaches(server.settings.data, NAMESPACE):
            run.violation("breaches", breach)
        run.count("commands", len(sent))
        run.count("reads", sum(len(caller.reads) for caller in callers))
