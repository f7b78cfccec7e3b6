"""A program that runs into the safety checks of the service, one after another.

Run with a folder as its argument, under `python -O`: prints for each check what stopped it, as
JSON. It has no assertions of its own, since they would not run.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from gapless.v1.pool_reservations_pb2 import NumbersReserved
from gapless.v1.pools_pb2 import NumberRange, PoolCreated
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.state import START, SequenceTable, UndoLog
from gapless_server.journal.port import EMPTY_HEAD
from gapless_server.journal.sqlite import SqliteJournal
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer.clock import LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.journal.rounds import append_all, chain_of, next_round


async def _opened(store: SqliteJournalStore, name: str) -> SqliteJournal:
    journal = await store.open(name)
    await append_all(journal, chain_of([1, 1, 1], journal.head))
    return journal


async def _changed(store: SqliteJournalStore, name: str, statement: str) -> None:
    """Writes a log, closes it, changes its file behind its back, and opens it again."""
    await (await _opened(store, name)).close()
    with closing(sqlite3.connect(store.path(name), isolation_level=None)) as connection:
        connection.execute(statement)
    journal = await store.open(name)
    try:
        clock = LogClock(ManualClock())
        await Namespace.open(name, Kernel(KINDS), journal, clock, WriterLimits(), lambda *_: None)
    finally:
        await journal.close()


async def _append_out_of_order(store: SqliteJournalStore) -> None:
    journal = await _opened(store, "order")
    try:
        await journal.append(next_round(EMPTY_HEAD))
    finally:
        await journal.close()


async def _keep_a_wrong_pragma(store: SqliteJournalStore) -> None:
    journal = await _opened(store, "pragma")
    try:
        await journal._set_and_check("synchronous", "OFF", 2)
    finally:
        await journal.close()


async def _take_what_is_owned(store: SqliteJournalStore) -> None:
    journal = await _opened(store, "owned")
    try:
        await store.open("owned")
    finally:
        await journal.close()


async def _skip_a_sequence(_store: SqliteJournalStore) -> None:
    table: SequenceTable[str, str] = SequenceTable(UndoLog(), str)
    table.append("general", 1, "first")
    table.append("general", 3, "third")


async def _reserve_a_number_twice(_store: SqliteJournalStore) -> None:
    kernel = Kernel(KINDS)
    state = kernel.new_state()
    created = PoolCreated(pool_id="ports", ranges=[NumberRange(first=1, last=9)])
    ann = NumbersReserved(pool_id="ports", owner_id="ann", key="a", numbers=[5])
    bob = NumbersReserved(pool_id="ports", owner_id="bob", key="b", numbers=[5])
    kernel.evolve(state, [created, ann, bob], START)


CHECKS: dict[str, Callable[[SqliteJournalStore], Awaitable[None]]] = {
    "a broken chain": lambda store: _changed(
        store, "chain", "UPDATE rounds SET data = x'00' WHERE first_position = 2"
    ),
    "a log shorter than its witness": lambda store: _changed(
        store, "shorter", "DELETE FROM rounds WHERE first_position = 3"
    ),
    "a missing round": lambda store: _changed(
        store, "missing", "DELETE FROM rounds WHERE first_position = 2"
    ),
    "a newer format": lambda store: _changed(store, "newer", "PRAGMA user_version = 99"),
    "a round out of order": _append_out_of_order,
    "a PRAGMA that does not apply": _keep_a_wrong_pragma,
    "a log that is owned": _take_what_is_owned,
    "a sequence with a gap": _skip_a_sequence,
    "a number that is held": _reserve_a_number_twice,
}


async def main(directory: Path) -> None:
    store = SqliteJournalStore(directory, "127.0.0.1:4275")
    stopped_by: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            await check(store)
            stopped_by[name] = "nothing"
        except Exception as error:
            stopped_by[name] = type(error).__name__
    await store.close()
    sys.stdout.write(json.dumps({"assertions": __debug__, "stopped_by": stopped_by}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
