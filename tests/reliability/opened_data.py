"""Opens data as the service does, reads every entry and every row of it, and goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.journal.sqlite_store import LOGS_DIRECTORY, SqliteJournalStore
from gapless_server.writer.clock import ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces
from tests.reliability.log_of_all_kinds import CHANNEL, NAMESPACE
from tests.writer.harness import frame_of, post, receipt, sequence

KERNEL = Kernel(KINDS)
SECONDS_MAX = 60.0


@dataclass
class Seen:
    """What a log shows."""

    entries: list[bytes] = field(default_factory=list)
    rows: dict[str, dict[Any, Any]] = field(default_factory=dict)
    requests: dict[tuple[str, str], int] = field(default_factory=dict)


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Namespace]:
    """Gives the namespace. Raises Refused if it is not served."""
    store = SqliteJournalStore(data, "nowhere")
    namespaces = Namespaces(
        KERNEL,
        store,
        ManualClock(),
        WriterLimits(feed_bytes_max=1),
        NamespaceLimits(),
        lambda *_: None,
        checkpoints=SqliteCheckpointStore(data / LOGS_DIRECTORY),
    )
    try:
        async with asyncio.timeout(SECONDS_MAX), namespaces.use(NAMESPACE) as namespace:
            yield namespace
    finally:
        await namespaces.close()
        await store.close()


async def read_entries(namespace: Namespace, seen: Seen) -> None:
    """Reads every entry, into `seen`. Raises Refused where one is not served."""
    async for committed in namespace.rounds_from(1):
        for stored in committed.entries:
            seen.entries.append(stored.SerializeToString(deterministic=True))
            if stored.entry.request_id:
                key = (stored.caller, stored.entry.request_id)
                seen.requests[key] = stored.entry.position


async def read_rows(namespace: Namespace) -> dict[str, dict[Any, Any]]:
    """Reads every row, by its key and in a scan. Raises Refused where one is not served."""

    def rows_of(state: State) -> dict[str, dict[Any, Any]]:
        return {name: dict(table.items()) for name, table in state.tables().items()}

    return await namespace.read(rows_of)


async def differing_rows(namespace: Namespace, truth: Seen) -> list[str]:
    """Looks up every row that there should be; returns the tables where it is another."""

    def differing(state: State) -> list[str]:
        return [
            name
            for name, table in state.tables().items()
            if any(table.get(*key) != row for key, row in truth.rows[name].items())
        ]

    return await namespace.read(differing)


async def unknown_requests(namespace: Namespace, truth: Seen, found: list[str]) -> list[str]:
    """Asks for every request that was committed; returns those that are not known as they were.

    `found` gets what is said of those that are refused because they are damaged.
    """
    unknown = []
    for (caller, request_id), position in truth.requests.items():
        try:
            stored = await namespace.entry_of_request(caller, request_id)
        except Refused as refusal:
            found.append(str(refusal))
            continue
        if stored is None or stored.entry.position != position:
            unknown.append(f"request id {request_id} is not known at position {position}")
    return unknown


async def goes_on(namespace: Namespace, truth: Seen) -> list[str]:
    """Commits a message, and sends one again that was committed; returns what is wrong with it."""
    (_caller, known), position = next(item for item in truth.requests.items() if _is_post(item[0]))
    next_position = namespace.head.position + 1
    heads = await namespace.read(lambda state: state.tables()["ChannelTables.sequences.heads"])
    next_sequence = (heads.get("", CHANNEL) or 0) + 1
    frame = frame_of(post("afterwards", channel_id=CHANNEL))
    namespace.submit(frame)
    [posted] = await frame.outcomes
    wrong = []
    if isinstance(posted, Refused):
        raise posted
    if (sequence(posted), receipt(posted).position) != (next_sequence, next_position):
        wrong.append(f"a new message is not {next_sequence} at position {next_position}")
    repeated = frame_of(post(known, channel_id=CHANNEL))
    namespace.submit(repeated)
    [again] = await repeated.outcomes
    if isinstance(again, Refused):
        raise again
    if (receipt(again).replayed, receipt(again).position) != (True, position):
        wrong.append(f"request id {known} of position {position} was taken for new")
    return wrong


def _is_post(request: tuple[str, str]) -> bool:
    # Of an erased message only the kind of command is known, so what it said need not be the same.
    return request[1].startswith("late")
