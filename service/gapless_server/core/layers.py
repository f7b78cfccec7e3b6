"""Layers: where the rows of a table lie, in memory and, where there is one, in a row store.

A row that changed lies in memory, in the newest of up to three layers, until a checkpoint has
written it to the store:

1. `fresh`: changed since the last checkpoint began. The only layer that is written to.
2. `frozen`: what the checkpoint that is under way is writing.
3. `clean`: what the checkpoint before wrote, and what was read since. A cache, dropped whole.

Below them is the store. A deleted row is marked in its layer for as long as there may be an older
one below. Without a store there is one layer, and a deleted row is simply gone. The order of a part
leaves deleted rows out, so that a scan takes no time for them, but for those in the store.

Rows are immutable: a change puts a new row in the place of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, islice, starmap
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec
from sortedcontainers import SortedList

from gapless_server.core.keys import (
    AFTER_ALL_KEYS,
    decode_key,
    encode_key,
    encode_keys,
    split_keys,
)
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, handfuls

Key = TypeVar("Key", bound=Hashable)
Partition = TypeVar("Partition", bound=Hashable)
Row = TypeVar("Row")

_KEY = itemgetter(0)

# Read rows, and their bytes, that a clean layer takes in before it is dropped: a bound on memory.
CLEAN_ROWS_MAX = 50_000
CLEAN_BYTES_MAX = 16 * 1024 * 1024

# So many rows are made ready to be written at a time, and no sooner than they are asked for.
_ROWS_AT_A_TIME = 500


class RowStore(Protocol):
    """Rows as bytes by table and key, as they were at the last finished checkpoint."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """Returns a row, or None."""
        ...

    def scan(
        self, table: str, low: bytes, high: bytes, *, descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yields keys and rows with low < key < high, in order. May be abandoned half-way."""
        ...


class _Mark:
    """A value that is no row."""


# No layer so far knows the key.
MISSING: Any = _Mark()
# The row was deleted, whatever lies below.
DELETED: Any = _Mark()


class Part(Generic[Key, Row]):
    """The rows of one partition in one layer, and marks in the place of those that were deleted.

    The order of those that are there is kept once somebody asked for it. In a part with `unpack`
    a row may lie packed, as the bytes that a store has of it, until it is asked for: most rows
    never are before they are stored. No row of any table is bytes itself.
    """

    __slots__ = ("order", "rows", "unpack")

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.order: SortedList | None = None
        self.unpack: Callable[[bytes], Row] | None = None

    def unpacked(self, key: Key) -> Row:
        """Returns a row that lies packed, and keeps it as it is returned."""
        assert self.unpack is not None
        row = self.rows[key] = self.unpack(cast("bytes", self.rows[key]))
        return row

    def ordered(self) -> SortedList:
        """Returns the keys in order; from now on their order is kept up."""
        if self.order is None:
            self.order = SortedList(key for key, row in self.rows.items() if row is not DELETED)
        return self.order

    def order_in_steps(self) -> Iterator[None]:
        """Puts the keys in order, with pauses in which nobody may change a row."""
        if self.order is None:
            order = SortedList()
            for keys in handfuls([key for key, row in self.rows.items() if row is not DELETED]):
                order.update(keys)
                yield
            self.order = order

    def put(self, key: Key, row: Row) -> None:
        """Sets the row of a key."""
        if self.order is not None and self.rows.get(key, DELETED) is DELETED:
            self.order.add(key)
        self.rows[key] = row

    def delete(self, key: Key) -> None:
        """Marks the row of a key as deleted, whether it is there or not."""
        self._take_out(key)
        self.rows[key] = DELETED

    def forget(self, key: Key) -> None:
        """Knows nothing of a key any more."""
        self._take_out(key)
        self.rows.pop(key, None)

    def _take_out(self, key: Key) -> None:
        if self.order is not None and self.rows.get(key, DELETED) is not DELETED:
            self.order.remove(key)

    def range(
        self, low: Key | None, high: Key | None, *, descending: bool
    ) -> Iterator[tuple[Key, Row]]:
        """Yields keys and rows that are there with low < key < high; None is no bound."""
        keys = self.ordered().irange(low, high, inclusive=(False, False), reverse=descending)
        if self.unpack is None:
            return ((key, self.rows[key]) for key in keys)
        return ((key, self._row(key)) for key in keys)

    def _row(self, key: Key) -> Row:
        row = self.rows[key]
        return self.unpacked(key) if type(row) is bytes else row

    def items(self) -> Iterator[tuple[Key, Row]]:
        """Yields every key and row, marks included, in no order."""
        return ((key, self._row(key)) for key in list(self.rows))


Layer = dict[Partition, Part[Key, Row]]


class Below(Generic[Partition, Key, Row]):
    """The layers below the fresh one, and the store."""

    def __init__(self, name: str, store: RowStore, row_type: Any) -> None:
        self._name = name
        self._store = store
        self._frozen: Layer[Partition, Key, Row] = {}
        self._clean: Layer[Partition, Key, Row] = {}
        self._clean_rows_read = 0
        self._clean_bytes_read = 0
        self._decode = msgspec.msgpack.Decoder(row_type).decode

    def get(self, partition: Partition, key: Key) -> Row | None:
        """Returns the row, or None."""
        for layer in (self._frozen, self._clean):
            part = layer.get(partition)
            if part is None:
                continue
            row = part.rows.get(key, MISSING)
            if type(row) is bytes:
                row = part.unpacked(key)
            if row is not MISSING:
                return None if row is DELETED else row
        return self._read(partition, key)

    def _read(self, partition: Any, key: Any) -> Row | None:
        data = self._store.get(self._name, encode_key(partition) + encode_key(key))
        row = DELETED if data is None else self._decode(data)
        if self._clean_rows_read >= CLEAN_ROWS_MAX or self._clean_bytes_read >= CLEAN_BYTES_MAX:
            self._begin_clean({})
        self._clean.setdefault(partition, Part()).rows[key] = row
        self._clean_rows_read += 1
        self._clean_bytes_read += len(data or b"")
        return None if row is DELETED else row

    def scan(
        self,
        fresh: Part[Key, Row] | None,
        partition: Partition,
        after: Key | None,
        before: Key | None,
        *,
        descending: bool,
    ) -> Iterator[tuple[Key, Row]]:
        """Yields the rows of a partition, those of `fresh` included, within bounds, in order."""
        layers: list[Iterator[tuple[Key, Row]]] = []
        newer: list[dict[Key, Row]] = []
        for part in (fresh, self._frozen.get(partition)):
            if part is not None:
                layers.append(_without(newer, part.range(after, before, descending=descending)))
                newer = [*newer, part.rows]
        layers.append(
            _without(newer, self._stored(partition, after, before, descending=descending))
        )
        # No key comes twice, and what is left of the last layer is passed on without a comparison.
        return merge(*layers, key=_KEY, reverse=descending)

    def _stored(
        self, partition: Any, after: Any, before: Any, *, descending: bool
    ) -> Iterator[tuple[Key, Row]]:
        prefix = encode_key(partition)
        low = prefix if after is None else prefix + encode_key(after)
        high = prefix + (AFTER_ALL_KEYS if before is None else encode_key(before))
        for data, row in self._store.scan(self._name, low, high, descending=descending):
            key: Any = decode_key(data[len(prefix) :])
            yield key, self._decode(row)

    def keys(self, partition: Any) -> Iterator[Sequence[Key]]:
        """Yields all keys of a partition, a handful at a time, those that are stored in order.

        Rows may be moved to the store between two handfuls, so that some keys come twice.
        """
        frozen = self._frozen.get(partition)
        if frozen is not None:
            yield from handfuls([key for key, row in frozen.rows.items() if row is not DELETED])
        prefix = encode_key(partition)
        low, high = prefix, prefix + AFTER_ALL_KEYS
        while True:
            rows = self._store.scan(self._name, low, high, descending=False)
            found = [data for data, _row in islice(rows, ROWS_BETWEEN_PAUSES)]
            frozen = self._frozen.get(partition)
            known: Container[Any] = () if frozen is None else frozen.rows
            keys: Iterator[Any] = (decode_key(data[len(prefix) :]) for data in found)
            yield [key for key in keys if key not in known]
            if len(found) < ROWS_BETWEEN_PAUSES:
                return
            low = found[-1]

    def order_in_steps(self, partition: Partition) -> Iterator[None]:
        """Puts what is frozen of a partition in order."""
        frozen = self._frozen.get(partition)
        return iter(()) if frozen is None else frozen.order_in_steps()

    def edge(self, partition: Partition, after: Any) -> Key | None:
        """Returns a key that a handful of rows, at most, of each layer lie before.

        Those that were deleted since are among them: to pass one takes as long as if it were there.
        None if there are no more than that.
        """
        edges: list[Any] = []
        if (frozen := self._frozen.get(partition)) is not None:
            order = frozen.ordered()
            index = ROWS_BETWEEN_PAUSES + (0 if after is None else order.bisect_right(after))
            edges.extend(order[index : index + 1])
        prefix = encode_key(partition)
        low = prefix if after is None else prefix + encode_key(after)
        rows = self._store.scan(self._name, low, prefix + AFTER_ALL_KEYS, descending=False)
        for data, _row in islice(rows, ROWS_BETWEEN_PAUSES, ROWS_BETWEEN_PAUSES + 1):
            edges.append(decode_key(data[len(prefix) :]))
        return min(edges, default=None)

    def items(self, fresh: Layer[Partition, Key, Row]) -> Iterator[tuple[Any, Any]]:
        """Yields every (partition, key) and row, those of `fresh` included, in no order."""
        changed = {
            (partition, key): row
            for layer in (self._frozen, fresh)
            for partition, part in layer.items()
            for key, row in part.items()
        }
        for data, row in self._store.scan(self._name, b"", AFTER_ALL_KEYS, descending=False):
            found: Any = split_keys(data)
            if found not in changed:
                yield found, self._decode(row)
        for found, changed_row in changed.items():
            if changed_row is not DELETED:
                yield found, changed_row

    def freeze(self, layer: Layer[Partition, Key, Row]) -> None:
        """Takes over a fresh layer, to be written to the store."""
        if self._frozen:
            raise RuntimeError(f"table {self._name} is already frozen")
        self._frozen = layer

    def frozen_rows(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yields what is frozen as it is to be written, in the order of the keys; None: deleted.

        Usable in any thread.
        """
        parts = sorted(
            ((encode_key(partition), part) for partition, part in self._frozen.items()),
            key=_KEY,
        )
        return chain.from_iterable(starmap(_written, parts))

    def thaw(self) -> Layer[Partition, Key, Row]:
        """The frozen rows are in the store: from now on they are a cache.

        Returns the rows that were it, for `take_apart`.
        """
        dropped = self._clean
        self._begin_clean(self._frozen)
        self._frozen = {}
        return dropped

    def _begin_clean(self, layer: Layer[Partition, Key, Row]) -> None:
        self._clean = layer
        self._clean_rows_read = self._clean_bytes_read = 0


def take_apart(layers: Iterable[Layer[Any, Any, Any]]) -> None:
    """Frees layers that nobody uses any more, little by little. Usable in any thread.

    Freed whole, the rows of a checkpoint would hold the interpreter lock for 10 to 50 ms.
    """
    for layer in layers:
        while layer:
            _partition, part = layer.popitem()
            if len(part.rows) > _ROWS_AT_A_TIME:
                keys, rows = list(part.rows), list(part.rows.values())
                part.order = None
                # Frees none of them: the lists have them all.
                part.rows.clear()
                while rows:
                    del rows[-_ROWS_AT_A_TIME:], keys[-_ROWS_AT_A_TIME:]


def _without(
    newer: Sequence[Container[Key]], rows: Iterator[tuple[Key, Row]]
) -> Iterator[tuple[Key, Row]]:
    """Leaves out the rows that newer layers know better."""
    if not newer:
        return rows
    return (row for row in rows if not any(row[0] in layer for layer in newer))


def _written(prefix: bytes, part: Part[Any, Any]) -> Iterator[tuple[bytes, bytes | None]]:
    """Returns the rows of a part as they are to be written, in the order of their keys."""
    keys = sorted(part.rows)
    # Most parts have come to be in order.
    rows = list(part.rows.values()) if keys == list(part.rows) else [part.rows[key] for key in keys]
    return chain.from_iterable(
        zip(
            encode_keys(prefix, keys[start : start + _ROWS_AT_A_TIME]),
            [
                # Packed, it is bytes already.
                row if type(row) is bytes else None if row is DELETED else _encode_row(row)
                for row in rows[start : start + _ROWS_AT_A_TIME]
            ],
            strict=True,
        )
        for start in range(0, len(keys), _ROWS_AT_A_TIME)
    )


_encode_row = msgspec.msgpack.Encoder().encode
