"""Tables on top of a row store give the same answers as tables in memory, whenever rows move."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gapless_server.core.keys import (
    AFTER_ALL_KEYS,
    Key,
    decode_key,
    encode_key,
    encode_keys,
    split_keys,
)
from gapless_server.core.layers import CLEAN_BYTES_MAX
from gapless_server.core.state import GapError, SequenceTable, State, UndoLog
from gapless_server.core.tables import PartitionedTable
from tests.core.dict_store import DictStore

PARTITIONS = ["", "p", "p\0"]
KEYS = [0, 1, 2, 3, 4, 5, 2**63]


class CountingStore(DictStore):
    """Counts the rows that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, table: str, key: bytes) -> bytes | None:
        self.gets += 1
        return super().get(table, key)


class Tables:
    def __init__(self, undo: UndoLog) -> None:
        self.rows: PartitionedTable[str, int, int] = PartitionedTable(undo, int)
        self.lines: SequenceTable[str, str] = SequenceTable(undo, str)


class StoredAndPlain(RuleBasedStateMachine):
    """Runs the same changes on tables over a store and on tables in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.store = DictStore()
        self.stored = State([Tables])
        self.stored.attach(self.store)
        self.plain = State([Tables])
        self.both = (self.stored, self.plain)
        self.is_frozen = False

    @rule(partition=st.sampled_from(PARTITIONS), key=st.sampled_from(KEYS), row=st.integers(0, 9))
    def put(self, partition: str, key: int, row: int) -> None:
        for state in self.both:
            state.of(Tables).rows.put(partition, key, row)

    @rule(partition=st.sampled_from(PARTITIONS), key=st.sampled_from(KEYS))
    def delete(self, partition: str, key: int) -> None:
        for state in self.both:
            state.of(Tables).rows.delete(partition, key)

    @rule(partition=st.sampled_from(PARTITIONS))
    def drop(self, partition: str) -> None:
        for state in self.both:
            state.of(Tables).rows.drop(partition)

    @rule(partition=st.sampled_from(PARTITIONS), line=st.text(max_size=3))
    def append(self, partition: str, line: str) -> None:
        for state in self.both:
            lines = state.of(Tables).lines
            if lines.head(partition) is None:
                lines.begin(partition, 7)
            lines.append(partition, (lines.head(partition) or 0) + 1, line)

    @rule(partition=st.sampled_from(PARTITIONS), skipped=st.integers(2, 9))
    def skip_a_number(self, partition: str, skipped: int) -> None:
        for state in self.both:
            lines = state.of(Tables).lines
            newest = next(lines.scan(partition, None, descending=True), None)
            if newest is not None:
                with pytest.raises(GapError):
                    lines.append(partition, newest[0] + skipped, "never")

    @precondition(lambda self: not self.is_frozen)
    @rule()
    def begin_checkpoint(self) -> None:
        self.store.write(self.stored)
        self.is_frozen = True

    @precondition(lambda self: self.is_frozen)
    @rule()
    def end_checkpoint(self) -> None:
        self.stored.thaw()
        self.is_frozen = False

    @rule(partition=st.sampled_from(PARTITIONS), key=st.sampled_from(KEYS))
    def undo_changes(self, partition: str, key: int) -> None:
        before = self.stored.digest()
        for state in self.both:
            state.undo.begin()
            rows = state.of(Tables).rows
            rows.put(partition, key, 5)
            rows.drop(partition)
            rows.put(partition, key, 6)
            state.undo.roll_back()
        assert self.stored.digest() == before

    @invariant()
    def every_answer_is_the_same(self) -> None:
        stored, plain = (state.of(Tables) for state in self.both)
        for partition in PARTITIONS:
            for descending in (False, True):
                for after, before in ((None, None), (1, 5), (None, 3), (2, None)):
                    bounds = {"after": after, "before": before, "descending": descending}
                    assert list(stored.rows.scan(partition, **bounds)) == list(
                        plain.rows.scan(partition, **bounds)
                    )
                assert list(stored.lines.scan(partition, None, descending=descending)) == list(
                    plain.lines.scan(partition, None, descending=descending)
                )
            assert stored.rows.count(partition) == plain.rows.count(partition)
            assert stored.rows.first(partition) == plain.rows.first(partition)
            assert stored.rows.last(partition) == plain.rows.last(partition)
            for key in KEYS:
                assert stored.rows.get(partition, key) == plain.rows.get(partition, key)
                assert stored.rows.floor(partition, key) == plain.rows.floor(partition, key)
        assert self.stored.digest() == self.plain.digest()


TestStoredAndPlain = StoredAndPlain.TestCase
TestStoredAndPlain.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

parts = st.one_of(st.text(max_size=4), st.integers(-(2**64) + 1, 2**64 - 1))
keys = st.recursive(parts, lambda inner: st.tuples(inner, inner), max_leaves=4)


@given(keys)
def test_a_key_is_read_back_from_its_bytes(key: Key) -> None:
    assert decode_key(encode_key(key)) == key
    assert split_keys(encode_key(key) + encode_key("next")) == (key, "next")
    assert encode_key(key) < AFTER_ALL_KEYS


@given(
    st.one_of(
        st.lists(keys, max_size=8),
        st.lists(st.text(st.sampled_from("a\0b"), max_size=3), max_size=8),
        st.lists(st.integers(0, 2**64 - 1), max_size=8),
        st.lists(st.sampled_from((-(2**64) + 1, -1, 0, 2**64 - 1, 2**64)), max_size=8),
    )
)
def test_keys_that_are_encoded_together_have_the_bytes_that_each_has_alone(many: list[Key]) -> None:
    prefix = encode_key("p")

    assert encode_keys(prefix, many) == [prefix + encode_key(key) for key in many]


@given(keys, st.data())
def test_bytes_that_break_off_or_go_on_are_no_key(key: Key, data: st.DataObject) -> None:
    whole = encode_key(key)
    kept_bytes = data.draw(st.integers(0, len(whole) - 1))

    for other in (whole[:kept_bytes], whole + b"\x00"):
        with pytest.raises(ValueError, match=r"key |not found"):
            decode_key(other)


@given(
    st.tuples(st.text(max_size=3), st.integers(0, 300)),
    st.tuples(st.text(max_size=3), st.integers(0, 300)),
)
def test_bytes_of_keys_have_the_order_of_the_keys(
    one: tuple[str, int], other: tuple[str, int]
) -> None:
    assert (encode_key(one) < encode_key(other)) == (one < other)


class CountedKey(int):
    """A key that counts how often it, or another, was looked up or compared."""

    uses = 0

    def __hash__(self) -> int:
        CountedKey.uses += 1
        return super().__hash__()

    def __lt__(self, other: int) -> bool:
        CountedKey.uses += 1
        return super().__lt__(other)

    def __eq__(self, other: object) -> bool:
        CountedKey.uses += 1
        return super().__eq__(other)


def _uses_of_first(deleted: int) -> int:
    """How often a key is used to find the first one after as many that were deleted."""
    state = State([Tables])
    state.attach(DictStore())
    rows = state.of(Tables).rows
    assert rows.first("p") is None
    for key in range(deleted):
        rows.put("p", CountedKey(key), 1)
    for key in range(deleted):
        rows.delete("p", CountedKey(key))
    rows.put("p", CountedKey(deleted), 2)
    rows.first("p")

    before = CountedKey.uses
    assert rows.first("p") == (deleted, 2)
    return CountedKey.uses - before


def test_a_scan_does_not_pass_what_was_deleted_since_the_last_checkpoint_row_by_row() -> None:
    assert _uses_of_first(deleted=1_000) == _uses_of_first(deleted=0)


class LargeRows:
    def __init__(self, undo: UndoLog) -> None:
        self.rows: PartitionedTable[str, int, str] = PartitionedTable(undo, str)


def test_g7_rows_that_were_read_stay_in_memory_up_to_a_number_of_bytes() -> None:
    store, written, state = CountingStore(), State([LargeRows]), State([LargeRows])
    written.attach(store)
    for key in range(5):
        written.of(LargeRows).rows.put("", key, "x" * (CLEAN_BYTES_MAX // 4))
    store.write(written)
    state.attach(store)
    rows = state.of(LargeRows).rows

    for key in [0, 1, 2, 3, 0, 1, 2, 3]:
        rows.get("", key)
    assert store.gets == 4

    for key in [4, 0, 4, 0]:
        rows.get("", key)
    assert store.gets == 6
