"""The state that the events of a log add up to: every table of every kind, as one thing.

Kinds take all that they need of state from here; what a table is stands in tables.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from gapless_server.core.alarms import Alarms
from gapless_server.core.layers import Layer, RowStore
from gapless_server.core.tables import (
    GapError,
    PartitionedTable,
    SequenceTable,
    Table,
    UndoLog,
)

__all__ = [
    "START",
    "GapError",
    "Moment",
    "PartitionedTable",
    "SequenceTable",
    "State",
    "Table",
    "UndoLog",
]

Tables = TypeVar("Tables")


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Where and when an entry stands in the log.

    `time_us` is the commit time: it follows the clock of the machine, and may jump forth with it.
    `uptime_us` is for how long the log has been served: it never jumps, so whatever has a time to
    live is measured with it and nothing else (G11). Neither ever decreases from entry to entry.
    """

    position: int
    time_us: int
    uptime_us: int

    def time_at(self, uptime_us: int) -> int:
        """Returns the commit time at an uptime before or after, as the clocks go at this moment."""
        return self.time_us + uptime_us - self.uptime_us

    def uptime_at(self, time_us: int) -> int:
        """Returns the uptime at a commit time before or after, as the clocks go at this moment."""
        return self.uptime_us + time_us - self.time_us


# Before the first entry of a log.
START = Moment(0, 0, 0)


class State:
    """All tables of a namespace, each kind's under the class that declares them.

    `table_classes` are classes whose constructor takes the undo log and makes the tables as
    attributes; two kinds share a table by naming the same class.
    """

    def __init__(self, table_classes: Iterable[Callable[[UndoLog], Any]]) -> None:
        self.undo = UndoLog()
        self.alarms = Alarms(self.undo)
        self._tables: dict[Any, Any] = {
            table_class: table_class(self.undo) for table_class in table_classes
        }

    def of(self, table_class: Callable[[UndoLog], Tables]) -> Tables:
        """Returns the tables of a class. KeyError if no kind declared it."""
        tables: Tables = self._tables[table_class]
        return tables

    def tables(self) -> dict[str, PartitionedTable[Any, Any, Any]]:
        """Returns every table by its name, in the order of the names."""
        found = {
            f"{type(tables).__name__}.{name}{suffix}": part
            for tables in self._tables.values()
            for name, table in vars(tables).items()
            for suffix, part in table.parts().items()
        }
        return dict(sorted(found.items()))

    def attach(self, store: RowStore) -> None:
        """Puts the state, which must be empty, on top of the rows that a store has."""
        for name, table in self.tables().items():
            table.attach(name, store)

    def freeze(self) -> None:
        """Sets aside what changed since the last time, for a checkpoint to write."""
        for table in self.tables().values():
            table.freeze()

    def frozen_rows(self) -> list[tuple[str, Iterator[tuple[bytes, bytes | None]]]]:
        """Returns what was set aside, by table: keys and rows as they are to be written.

        A row that is None was deleted. The rows may be read in another thread, and more than once
        by calling again.
        """
        return [(name, table.frozen_rows()) for name, table in self.tables().items()]

    def thaw(self) -> list[Layer[Any, Any, Any]]:
        """What was frozen is in the store now: it need not be kept in memory.

        Returns rows that nobody uses any more. To free them takes long: see `take_apart`.
        """
        return [table.thaw() for table in self.tables().values()]

    def digest(self) -> bytes:
        """Returns a hash of every row: equal for equal logs, on any machine (G10).

        BLAKE2b, 32 bytes, over the sorted encodings of the rows of each table. Takes time and
        memory in proportion to the state: for checks, not for serving.
        """
        encode = msgspec.msgpack.Encoder(order="deterministic").encode
        whole = hashlib.blake2b(digest_size=32)
        for name, table in self.tables().items():
            whole.update(encode(name))
            for row in sorted(encode(item) for item in table.items()):
                whole.update(row)
        return whole.digest()
