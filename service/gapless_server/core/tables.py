"""Tables: the rows of the state, by key or by partition and key, with an undo log.

Tables are the only way to state, so that where rows lie can change without a kind noticing: see
layers.py. Rows are immutable: a change puts a new row in the place of the old one. That makes a
failed batch free (the old rows are put back) and lets a read keep a row while the state moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator
from functools import cache
from typing import Any, Final, Generic, TypeVar

import msgspec

from gapless_server.core.layers import DELETED, MISSING, Below, Layer, Part, RowStore
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, handfuls

Key = TypeVar("Key", bound=Hashable)
Partition = TypeVar("Partition", bound=Hashable)
Row = TypeVar("Row")


# How much is rolled back, in about a millisecond, without a pause.
STEPS_BETWEEN_PAUSES: Final = 1000


@cache
def _unpack_of(row_type: Any) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(row_type).decode


class GapError(Exception):
    """An event would have left a gap or used a number twice: a fault of the service itself."""


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

    def roll_back(self) -> None:
        """Puts the old rows back, newest first."""
        for _ in self.roll_back_in_steps():
            pass

    def roll_back_in_steps(self) -> Iterator[None]:
        """Does the same with pauses, in which state is neither the old one nor the new one."""
        steps, self.steps = self.steps or [], None
        while steps:
            # Each is freed here: all of them at once would take as long as to go through them.
            steps.pop()()
            if len(steps) % STEPS_BETWEEN_PAUSES == 0:
                yield


class PartitionedTable(Generic[Partition, Key, Row]):
    """Rows by partition and key; the keys of a partition can be listed in order."""

    __slots__ = ("_below", "_fresh", "_undo", "row_type")

    def __init__(self, undo: UndoLog, row_type: Any) -> None:
        """A table of rows of `row_type`: what msgspec decodes them as."""
        self._fresh: Layer[Partition, Key, Row] = {}
        self._undo = undo
        self._below: Below[Partition, Key, Row] | None = None
        self.row_type = row_type

    def get(self, partition: Partition, key: Key) -> Row | None:
        """Returns the row, or None."""
        part = self._fresh.get(partition)
        row = MISSING if part is None else part.rows.get(key, MISSING)
        if row is MISSING:
            return None if self._below is None else self._below.get(partition, key)
        if type(row) is bytes:
            assert part is not None
            return part.unpacked(key)
        return None if row is DELETED else row

    def put(self, partition: Partition, key: Key, row: Row) -> None:
        """Sets the row of a key, new or not."""
        part = self._fresh.get(partition)
        if part is None:
            part = self._fresh[partition] = Part()
        if self._undo.steps is not None:
            self._remember(part, partition, key)
        if part.order is not None and part.rows.get(key, DELETED) is DELETED:
            part.order.add(key)
        part.rows[key] = row

    def newest_part(self, partition: Partition) -> Part[Key, Row]:
        """Returns the newest rows of a partition, for new ones to be put there by hand.

        Whoever puts them keeps up the order of the part and sees to it that no undo log is open.
        What is returned is good until the table is changed in another way, or frozen.
        """
        part = self._fresh.get(partition)
        if part is None:
            part = self._fresh[partition] = Part()
        return part

    def packed_part(self, partition: Partition) -> Part[Key, Row]:
        """Returns the same, where rows may also be put packed: as the bytes that a store has."""
        part = self.newest_part(partition)
        if part.unpack is None:
            part.unpack = _unpack_of(self.row_type)
        return part

    def delete(self, partition: Partition, key: Key) -> None:
        """Removes the row of a key, if there is one."""
        part = self._fresh.get(partition)
        if part is None:
            if self._below is None:
                return
            part = self._fresh[partition] = Part()
        if self._undo.steps is not None:
            self._remember(part, partition, key)
        if self._below is not None:
            part.delete(key)
            return
        part.forget(key)
        if not part.rows:
            del self._fresh[partition]

    def drop(self, partition: Partition) -> None:
        """Removes every row of a partition. Takes time in proportion to their number."""
        for _ in self.drop_in_steps(partition):
            pass

    def drop_in_steps(self, partition: Partition) -> Generator[None, None, None]:
        """Does the same with pauses, in which some of the rows are gone.

        In no order, and that of the rows in memory is not kept up: it would be most of the work.
        """
        part = self._fresh.get(partition)
        if part is not None:
            part.order = None
            fresh = [key for key, row in part.rows.items() if row is not DELETED]
            for keys in handfuls(fresh):
                for key in keys:
                    self.delete(partition, key)
                yield
        if self._below is not None:
            for keys in self._below.keys(partition):
                gone = self.newest_part(partition).rows
                for key in keys:
                    if key not in gone:
                        self.delete(partition, key)
                yield

    def order_in_steps(self, partition: Partition) -> Iterator[None]:
        """Puts the keys in memory in order with pauses; a scan after that has not to do it."""
        part = self._fresh.get(partition)
        if part is not None:
            yield from part.order_in_steps()
        if self._below is not None:
            yield from self._below.order_in_steps(partition)

    def scan_in_steps(
        self, partition: Partition, after: Key | None = None
    ) -> Iterator[tuple[Key, Row] | None]:
        """Yields keys and rows in order, as `scan`, and None where there may be a pause.

        After it the rest is looked for anew: it may have been moved to the store meanwhile.
        """
        for _ in self.order_in_steps(partition):
            yield None
        while True:
            edge = None if self._below is None else self._below.edge(partition, after)
            rows = self.scan(partition, after=after, before=edge)
            for count, found in enumerate(rows, start=1):
                yield found
                if count == ROWS_BETWEEN_PAUSES:
                    after = found[0]
                    break
            else:
                if edge is None:
                    return
                if (row := self.get(partition, edge)) is not None:
                    yield edge, row
                after = edge
            yield None

    def count(self, partition: Partition) -> int:
        """Returns how many rows the partition has. Takes time in proportion to their number."""
        part = self._fresh.get(partition)
        if self._below is None:
            return 0 if part is None else len(part.rows)
        return sum(1 for _ in self.scan(partition))

    def scan(
        self,
        partition: Partition,
        after: Key | None = None,
        before: Key | None = None,
        *,
        descending: bool = False,
    ) -> Iterator[tuple[Key, Row]]:
        """Yields keys and rows with after < key < before, in the order of the keys.

        The table must not change while the caller iterates.
        """
        part = self._fresh.get(partition)
        if self._below is not None:
            return self._below.scan(part, partition, after, before, descending=descending)
        return iter(()) if part is None else part.range(after, before, descending=descending)

    def first(self, partition: Partition) -> tuple[Key, Row] | None:
        """Returns the smallest key of the partition with its row, or None."""
        return next(self.scan(partition), None)

    def last(self, partition: Partition) -> tuple[Key, Row] | None:
        """Returns the largest key of the partition with its row, or None."""
        return next(self.scan(partition, descending=True), None)

    def floor(self, partition: Partition, key: Key) -> tuple[Key, Row] | None:
        """Returns the largest key that is at most `key`, with its row, or None."""
        row = self.get(partition, key)
        if row is not None:
            return key, row
        return next(self.scan(partition, before=key, descending=True), None)

    def _remember(self, part: Part[Key, Row], partition: Partition, key: Key) -> None:
        old = part.rows.get(key, MISSING)
        if type(old) is bytes:
            old = part.unpacked(key)
        assert self._undo.steps is not None
        self._undo.steps.append(lambda: self._restore(partition, key, old))

    def _restore(self, partition: Partition, key: Key, old: Any) -> None:
        part = self._fresh.setdefault(partition, Part())
        if old is MISSING:
            part.forget(key)
        elif old is DELETED:
            part.delete(key)
        else:
            part.put(key, old)
        if not part.rows:
            del self._fresh[partition]

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every (partition, key) and row, in no order."""
        if self._below is not None:
            yield from self._below.items(self._fresh)
            return
        for partition, part in self._fresh.items():
            for key, row in part.items():
                yield (partition, key), row

    def parts(self) -> dict[str, PartitionedTable[Any, Any, Any]]:
        """The tables that this one is made of, by a suffix of its name."""
        return {"": self}

    def attach(self, name: str, store: RowStore) -> None:
        """Puts the table, which must be empty, on top of what the store has under `name`."""
        if self._fresh:
            raise ValueError(f"table {name} has rows already")
        self._below = Below(name, store, self.row_type)

    def freeze(self) -> None:
        """Sets aside what changed, to be written to the store."""
        assert self._below is not None
        frozen, self._fresh = self._fresh, {}
        self._below.freeze(frozen)

    def frozen_rows(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yields what was set aside as it is to be written; None: deleted."""
        assert self._below is not None
        return self._below.frozen_rows()

    def thaw(self) -> Layer[Partition, Key, Row]:
        """What was frozen is in the store now; returns rows to take apart: see layers.py."""
        assert self._below is not None
        return self._below.thaw()


class Table(Generic[Key, Row]):
    """Rows by key, without an order."""

    __slots__ = ("rows",)

    def __init__(self, undo: UndoLog, row_type: Any) -> None:
        self.rows: PartitionedTable[str, Key, Row] = PartitionedTable(undo, row_type)

    def get(self, key: Key) -> Row | None:
        """Returns the row, or None."""
        return self.rows.get("", key)

    def put(self, key: Key, row: Row) -> None:
        """Sets the row of a key, new or not."""
        self.rows.put("", key, row)

    def delete(self, key: Key) -> None:
        """Removes the row of a key, if there is one."""
        self.rows.delete("", key)

    def parts(self) -> dict[str, PartitionedTable[Any, Any, Any]]:
        """The tables that this one is made of, by a suffix of its name."""
        return {"": self.rows}


class SequenceTable(Generic[Partition, Row]):
    """Rows by partition and sequence, where the sequences of a partition have no gaps.

    Only the next sequence can be added, and none can be taken away: a row that tried to skip or
    repeat a number raises `GapError`, here, at the last place before it would become state.
    """

    __slots__ = ("_heads", "_rows")

    def __init__(self, undo: UndoLog, row_type: Any) -> None:
        self._rows: PartitionedTable[Partition, int, Row] = PartitionedTable(undo, row_type)
        self._heads: PartitionedTable[str, Partition, int] = PartitionedTable(undo, int)

    def begin(self, partition: Partition, first: int) -> None:
        """Says which sequence a new partition begins with; without it, that is 1."""
        self._heads.put("", partition, first - 1)

    def head(self, partition: Partition) -> int | None:
        """Returns the newest sequence, the first - 1 while there is none; None if never begun."""
        return self._heads.get("", partition)

    def append(self, partition: Partition, sequence: int, row: Row) -> None:
        """Adds the row of the next sequence."""
        head = self._heads.get("", partition) or 0
        if sequence != head + 1:
            raise GapError(f"sequence {sequence} does not follow {head} in {partition!r}")
        self._rows.put(partition, sequence, row)
        self._heads.put("", partition, sequence)

    def newest_parts(self, partition: Partition) -> tuple[Part[int, Row], Part[Partition, int]]:
        """Returns the newest rows of a partition and the newest heads, for both to be gone on with.

        As `PartitionedTable.newest_part`; whoever puts rows there leaves no gap.
        """
        return self._rows.newest_part(partition), self._heads.newest_part("")

    def get(self, partition: Partition, sequence: int) -> Row | None:
        """Returns the row of a sequence, or None if it was never given."""
        return self._rows.get(partition, sequence)

    def scan(
        self, partition: Partition, start: int | None, *, descending: bool
    ) -> Iterator[tuple[int, Row]]:
        """Yields sequences and rows from `start` (inclusive) on, upwards or downwards."""
        if start is None:
            return self._rows.scan(partition, descending=descending)
        if descending:
            return self._rows.scan(partition, before=start + 1, descending=True)
        return self._rows.scan(partition, after=start - 1)

    def parts(self) -> dict[str, PartitionedTable[Any, Any, Any]]:
        """The tables that this one is made of, by a suffix of its name."""
        return {"": self._rows, ".heads": self._heads}
