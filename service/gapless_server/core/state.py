"""The state that the events of a log add up to: tables of rows, with an undo log.

Rows are immutable: a change puts a new row in the place of the old one. That makes a failed
batch free (the old rows are put back) and lets a read keep a row while the state moves on.
Tables are the only way to state, so that where rows lie can change without a kind noticing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sortedcontainers import SortedList

Key = TypeVar("Key", bound=Hashable)
Partition = TypeVar("Partition", bound=Hashable)
Row = TypeVar("Row")
Tables = TypeVar("Tables")


class Moment(NamedTuple):
    """Where and when an entry stands in the log."""

    position: int
    time_us: int


class UndoLog:
    """Remembers how to take back what was put since `begin`. Idle most of the time."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] | None = None

    def begin(self) -> None:
        """Starts remembering. Not nested: an atomic batch holds no batch."""
        if self.steps is not None:
            raise RuntimeError("an undo log is already open")
        self.steps = []

    def keep(self) -> None:
        """Forgets the old rows: the changes stay."""
        self.steps = None

    def roll_back(self) -> None:
        """Puts the old rows back, newest first."""
        steps, self.steps = self.steps, None
        for step in reversed(steps or []):
            step()


class Table(Generic[Key, Row]):
    """Rows by key, without an order."""

    __slots__ = ("_rows", "_undo")

    def __init__(self, undo: UndoLog) -> None:
        self._rows: dict[Key, Row] = {}
        self._undo = undo

    def get(self, key: Key) -> Row | None:
        """Returns the row, or None."""
        return self._rows.get(key)

    def put(self, key: Key, row: Row) -> None:
        """Sets the row of a key, new or not."""
        if self._undo.steps is not None:
            old = self._rows.get(key)
            self._undo.steps.append(lambda: self._restore(key, old))
        self._rows[key] = row

    def delete(self, key: Key) -> None:
        """Removes the row of a key, if there is one."""
        old = self._rows.pop(key, None)
        if old is not None and self._undo.steps is not None:
            self._undo.steps.append(lambda: self._restore(key, old))

    def _restore(self, key: Key, old: Row | None) -> None:
        if old is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = old

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every key and row, in no order."""
        return iter(self._rows.items())


class _Part(Generic[Key, Row]):
    """The rows of one partition; their order is kept only once somebody has asked for it."""

    __slots__ = ("order", "rows")

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.order: SortedList | None = None

    def ordered(self) -> SortedList:
        """Returns the keys in order; from now on their order is kept up."""
        if self.order is None:
            self.order = SortedList(self.rows)
        return self.order


class PartitionedTable(Generic[Partition, Key, Row]):
    """Rows by partition and key; the keys of a partition can be listed in order."""

    __slots__ = ("_parts", "_undo")

    def __init__(self, undo: UndoLog) -> None:
        self._parts: dict[Partition, _Part[Key, Row]] = {}
        self._undo = undo

    def get(self, partition: Partition, key: Key) -> Row | None:
        """Returns the row, or None."""
        part = self._parts.get(partition)
        return None if part is None else part.rows.get(key)

    def put(self, partition: Partition, key: Key, row: Row) -> None:
        """Sets the row of a key, new or not."""
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = _Part()
        if self._undo.steps is not None:
            old = part.rows.get(key)
            self._undo.steps.append(lambda: self._restore(partition, key, old))
        if part.order is not None and key not in part.rows:
            part.order.add(key)
        part.rows[key] = row

    def delete(self, partition: Partition, key: Key) -> None:
        """Removes the row of a key, if there is one; the last one takes the partition along."""
        part = self._parts.get(partition)
        old = None if part is None else part.rows.pop(key, None)
        if part is None or old is None:
            return
        if part.order is not None:
            part.order.remove(key)
        if not part.rows:
            del self._parts[partition]
        if self._undo.steps is not None:
            self._undo.steps.append(lambda: self._restore(partition, key, old))

    def drop(self, partition: Partition) -> None:
        """Removes a partition with all its rows."""
        part = self._parts.pop(partition, None)
        if part is not None and self._undo.steps is not None:
            self._undo.steps.append(lambda: self._parts.__setitem__(partition, part))

    def count(self, partition: Partition) -> int:
        """Returns how many rows the partition has."""
        part = self._parts.get(partition)
        return 0 if part is None else len(part.rows)

    def scan(self, partition: Partition, after: Key | None = None) -> Iterator[tuple[Key, Row]]:
        """Yields keys and rows in the order of the keys, beginning after `after`.

        The table must not change while the caller iterates.
        """
        part = self._parts.get(partition)
        if part is None:
            return
        order = part.ordered()
        keys = order if after is None else order.irange(after, inclusive=(False, True))
        for key in keys:
            yield key, part.rows[key]

    def first(self, partition: Partition) -> tuple[Key, Row] | None:
        """Returns the smallest key of the partition with its row, or None."""
        part = self._parts.get(partition)
        if part is None:
            return None
        key = part.ordered()[0]
        return key, part.rows[key]

    def last(self, partition: Partition) -> tuple[Key, Row] | None:
        """Returns the largest key of the partition with its row, or None."""
        part = self._parts.get(partition)
        if part is None:
            return None
        key = part.ordered()[-1]
        return key, part.rows[key]

    def floor(self, partition: Partition, key: Key) -> tuple[Key, Row] | None:
        """Returns the largest key that is at most `key`, with its row, or None."""
        part = self._parts.get(partition)
        if part is None:
            return None
        for found in part.ordered().irange(None, key, reverse=True):
            return found, part.rows[found]
        return None

    def _restore(self, partition: Partition, key: Key, old: Row | None) -> None:
        if old is None:
            self.delete(partition, key)
        else:
            self.put(partition, key, old)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every (partition, key) and row, in no order."""
        for partition, part in self._parts.items():
            for key, row in part.rows.items():
                yield (partition, key), row


class _Run(Generic[Row]):
    """Rows of consecutive sequences, beginning with `first`."""

    __slots__ = ("first", "rows")

    def __init__(self, first: int) -> None:
        self.first = first
        self.rows: list[Row] = []


class SequenceTable(Generic[Partition, Row]):
    """Rows by partition and sequence, where the sequences of a partition have no gaps.

    Only the next sequence can be added, and none can be taken away: a row that tried to skip or
    repeat a number raises `GapError`, here, at the last place before it would become state.
    """

    __slots__ = ("_runs", "_undo")

    def __init__(self, undo: UndoLog) -> None:
        self._runs: dict[Partition, _Run[Row]] = {}
        self._undo = undo

    def append(self, partition: Partition, sequence: int, row: Row) -> None:
        """Adds the row of the next sequence; the first of a partition may be any from 1."""
        run = self._runs.get(partition)
        if run is None:
            run = self._runs[partition] = _Run(sequence)
        if sequence != run.first + len(run.rows):
            raise GapError(
                f"sequence {sequence} does not follow {run.first + len(run.rows) - 1}"
                f" in {partition!r}"
            )
        run.rows.append(row)
        if self._undo.steps is not None:
            self._undo.steps.append(lambda: self._take_back(partition))

    def get(self, partition: Partition, sequence: int) -> Row | None:
        """Returns the row of a sequence, or None if it was never given."""
        run = self._runs.get(partition)
        if run is None or not 0 <= sequence - run.first < len(run.rows):
            return None
        return run.rows[sequence - run.first]

    def scan(
        self, partition: Partition, start: int | None, *, descending: bool
    ) -> Iterator[tuple[int, Row]]:
        """Yields sequences and rows from `start` (inclusive) on, upwards or downwards."""
        run = self._runs.get(partition)
        if run is None:
            return
        last = run.first + len(run.rows) - 1
        if descending:
            numbers = range(last if start is None else min(start, last), run.first - 1, -1)
        else:
            numbers = range(run.first if start is None else max(start, run.first), last + 1)
        for sequence in numbers:
            yield sequence, run.rows[sequence - run.first]

    def _take_back(self, partition: Partition) -> None:
        run = self._runs[partition]
        run.rows.pop()
        if not run.rows:
            del self._runs[partition]

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every (partition, sequence) and row."""
        for partition, run in self._runs.items():
            for offset, row in enumerate(run.rows):
                yield (partition, run.first + offset), row


class GapError(Exception):
    """An event would have left a gap or used a number twice: a fault of the service itself."""


AnyTable = Table[Any, Any] | PartitionedTable[Any, Any, Any] | SequenceTable[Any, Any]


class State:
    """All tables of a namespace, each kind's under the class that declares them.

    `table_classes` are classes whose constructor takes the undo log and makes the tables as
    attributes; two kinds share a table by naming the same class.
    """

    def __init__(self, table_classes: Iterable[Callable[[UndoLog], Any]]) -> None:
        self.undo = UndoLog()
        self._tables: dict[Any, Any] = {
            table_class: table_class(self.undo) for table_class in table_classes
        }

    def of(self, table_class: Callable[[UndoLog], Tables]) -> Tables:
        """Returns the tables of a class. KeyError if no kind declared it."""
        tables: Tables = self._tables[table_class]
        return tables

    def tables(self) -> Iterator[tuple[str, AnyTable]]:
        """Yields every table with its name, in the order of the names."""
        found = {
            f"{type(tables).__name__}.{name}": table
            for tables in self._tables.values()
            for name, table in vars(tables).items()
        }
        return iter(sorted(found.items()))

    def digest(self) -> bytes:
        """Returns a hash of every row: equal for equal logs, on any machine (G10).

        BLAKE2b, 32 bytes, over the sorted encodings of the rows of each table. Takes time and
        memory in proportion to the state: for checks, not for serving.
        """
        encode = msgspec.msgpack.Encoder(order="deterministic").encode
        whole = hashlib.blake2b(digest_size=32)
        for name, table in self.tables():
            whole.update(encode(name))
            for row in sorted(encode(item) for item in table.items()):
                whole.update(row)
        return whole.digest()
