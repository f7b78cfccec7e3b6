"""State: tables that can take changes back, that refuse gaps, and whose digest tells all (G10)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from gapless.v1.messages_pb2 import MessagePosted
from gapless.v1.threads_pb2 import ReplyPosted
from gapless_server.core.state import (
    GapError,
    PartitionedTable,
    SequenceTable,
    State,
    Table,
    UndoLog,
)
from tests.core.chat_commands import (
    ANN,
    BOB,
    GENERAL,
    ROOT,
    add,
    archive,
    channel,
    delete,
    edit,
    join,
    leave,
    mark,
    post,
    remove,
    reply,
    toggle,
)
from tests.core.story import KERNEL, Story


class Tables:
    """One of each sort of table."""

    def __init__(self, undo: UndoLog) -> None:
        self.plain: Table[str, int] = Table(undo, int)
        self.parted: PartitionedTable[str, str, int] = PartitionedTable(undo, int)
        self.sequences: SequenceTable[str, str] = SequenceTable(undo, str)


@pytest.fixture
def state() -> State:
    return State([Tables])


@pytest.fixture
def tables(state: State) -> Tables:
    return state.of(Tables)


def everything(tables: Tables) -> dict[object, object]:
    """Returns all rows, and the order in which scans give them."""
    found: dict[object, object] = dict(tables.plain.rows.items())
    found |= dict(tables.parted.items())
    for part in tables.sequences.parts().values():
        found |= dict(part.items())
    found["order"] = [(part, list(tables.parted.scan(part))) for part in ("p", "q")]
    return found


CHANGES: dict[str, Callable[[Tables], None]] = {
    "put a new row": lambda tables: tables.plain.put("new", 1),
    "put over a row": lambda tables: tables.plain.put("a", 9),
    "delete a row": lambda tables: tables.plain.delete("a"),
    "delete no row": lambda tables: tables.plain.delete("none"),
    "put a row whose value is 0": lambda tables: tables.plain.put("new", 0),
    "put into a partition": lambda tables: tables.parted.put("p", "between", 1),
    "put over a row of a partition": lambda tables: tables.parted.put("p", "c", 9),
    "put into a new partition": lambda tables: tables.parted.put("new", "a", 1),
    "delete from a partition": lambda tables: tables.parted.delete("p", "a"),
    "delete nothing from a partition": lambda tables: tables.parted.delete("p", "none"),
    "delete from no partition": lambda tables: tables.parted.delete("none", "a"),
    "delete the last row of a partition": lambda tables: tables.parted.delete("q", "a"),
    "drop a partition": lambda tables: tables.parted.drop("p"),
    "drop no partition": lambda tables: tables.parted.drop("none"),
    "append": lambda tables: tables.sequences.append("s", 7, "seven"),
    "begin a partition": lambda tables: tables.sequences.begin("new", 7),
    "append to a new partition": lambda tables: tables.sequences.append("new", 1, "one"),
}


@pytest.fixture
def filled(tables: Tables) -> Tables:
    tables.plain.put("a", 1)
    for key, value in (("c", 3), ("a", 1), ("b", 2)):
        tables.parted.put("p", key, value)
    tables.parted.put("q", "a", 1)
    tables.sequences.begin("s", 5)
    tables.sequences.append("s", 5, "five")
    tables.sequences.append("s", 6, "six")
    return tables


class TestUndo:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    @pytest.mark.parametrize("in_order", [False, True], ids=["order unknown", "order known"])
    def test_rolling_back_puts_everything_back(
        self,
        state: State,
        filled: Tables,
        change: Callable[[Tables], None],
        *,
        in_order: bool,
    ) -> None:
        before_digest = state.digest()
        before = everything(filled) if in_order else None

        state.undo.begin()
        change(filled)
        state.undo.roll_back()

        assert state.digest() == before_digest
        if in_order:
            assert everything(filled) == before

    def test_many_changes_of_the_same_rows_are_taken_back_newest_first(
        self, state: State, filled: Tables
    ) -> None:
        before, before_digest = everything(filled), state.digest()

        state.undo.begin()
        for _ in range(2):
            for value in (7, 8):
                filled.plain.put("a", value)
                filled.parted.put("p", "a", value)
                filled.parted.drop("p")
                filled.parted.put("p", "z", value)
                filled.parted.delete("p", "z")
                filled.plain.delete("a")
        for sequence in (7, 8, 9):
            filled.sequences.append("s", sequence, str(sequence))
        state.undo.roll_back()

        assert everything(filled) == before
        assert state.digest() == before_digest

    def test_after_rolling_back_the_same_sequence_can_be_taken_again(
        self, state: State, tables: Tables
    ) -> None:
        state.undo.begin()
        tables.sequences.begin("s", 5)
        tables.sequences.append("s", 5, "dropped")
        state.undo.roll_back()

        tables.sequences.append("s", 1, "kept")

        assert list(tables.sequences.scan("s", None, descending=False)) == [(1, "kept")]

    def test_what_was_put_after_rolling_back_stays(self, state: State, tables: Tables) -> None:
        state.undo.begin()
        state.undo.roll_back()
        tables.plain.put("a", 1)

        state.undo.begin()
        state.undo.roll_back()

        assert tables.plain.get("a") == 1

    def test_an_undo_log_is_not_nested(self, state: State) -> None:
        state.undo.begin()

        with pytest.raises(RuntimeError, match="already open"):
            state.undo.begin()

    def test_g5_a_failed_batch_of_every_chat_command_leaves_no_trace(self) -> None:
        """The commands change every chat table; the state and all later answers are as before."""
        given: list[Message] = [
            channel(),
            post(ROOT),
            post("other"),
            reply("r1", ANN),
            reply("r2", BOB),
            add(ANN, "a"),
            add(BOB, "b"),
            join(ANN),
            mark(1),
        ]
        story, untouched = Story().given(*given), Story().given(*given)

        story.undone(
            [
                channel("new"),
                post("m"),
                edit(ROOT),
                reply("r3", show_in_channel=True),
                delete("r2"),
                delete("other"),
                toggle(ANN, "c"),
                remove(ANN, "a"),
                delete(ROOT),
                join(BOB),
                leave(ANN),
                mark(3),
                archive(),
            ]
        )

        assert story.state.digest() == untouched.state.digest()
        later = reply("r4", show_in_channel=True)
        assert story.when(later) == untouched.when(later)
        assert story.state.digest() == untouched.state.digest()


class TestGaps:
    """G1, at the last place before a number would become state."""

    @pytest.mark.parametrize("sequence", [1, 4, 5, 7, 2**63 - 1])
    def test_g1_only_the_next_sequence_can_be_appended(
        self, state: State, tables: Tables, sequence: int
    ) -> None:
        tables.sequences.begin("s", 4)
        tables.sequences.append("s", 4, "four")
        tables.sequences.append("s", 5, "five")
        before = state.digest()

        with pytest.raises(GapError, match=f"^sequence {sequence} does not follow 5 in 's'$"):
            tables.sequences.append("s", sequence, "x")

        assert state.digest() == before

    @pytest.mark.parametrize("sequence", [0, 2, 3])
    def test_g1_a_channel_takes_no_other_sequence_than_its_next(self, sequence: int) -> None:
        story = Story().given(channel(), *([post()] if sequence in (2, 3) else []))
        story.given(*([post()] if sequence == 2 else []))
        before = story.state.digest()
        posted = MessagePosted(channel_id=GENERAL, message_id="m", sequence=sequence)

        with pytest.raises(GapError):
            KERNEL.evolve(story.state, [posted], story.moment)

        assert story.state.digest() == before

    @pytest.mark.parametrize("sequence", [0, 1, 3])
    def test_g1_a_thread_takes_no_other_sequence_than_its_next(self, sequence: int) -> None:
        story = Story().given(channel(), post(ROOT), reply())
        before = story.state.digest()
        replied = ReplyPosted(
            channel_id=GENERAL, parent_message_id=ROOT, message_id="m", thread_sequence=sequence
        )

        with pytest.raises(GapError):
            KERNEL.evolve(story.state, [replied], story.moment)

        assert story.state.digest() == before

    @pytest.mark.parametrize("first", [1, 100])
    def test_g1_a_partition_begins_with_the_sequence_it_was_begun_with(
        self, tables: Tables, first: int
    ) -> None:
        tables.sequences.begin("s", first)

        with pytest.raises(GapError):
            tables.sequences.append("s", first + 1, "x")
        tables.sequences.append("s", first, "x")

        assert tables.sequences.head("s") == first

    def test_g1_a_partition_that_was_not_begun_begins_with_1(self, tables: Tables) -> None:
        assert tables.sequences.head("s") is None

        with pytest.raises(GapError):
            tables.sequences.append("s", 2, "x")
        tables.sequences.append("s", 1, "x")


class TestReads:
    def test_a_sequence_that_was_never_given_has_no_row(self, filled: Tables) -> None:
        found = [filled.sequences.get("s", sequence) for sequence in (4, 5, 6, 7)]

        assert found == [None, "five", "six", None]
        assert filled.sequences.get("none", 1) is None

    def test_a_scan_gives_keys_in_order_however_they_came(self, filled: Tables) -> None:
        first = list(filled.parted.scan("p"))
        filled.parted.put("p", "ab", 5)
        filled.parted.delete("p", "b")

        assert first == [("a", 1), ("b", 2), ("c", 3)]
        assert list(filled.parted.scan("p")) == [("a", 1), ("ab", 5), ("c", 3)]
        assert list(filled.parted.scan("p", after="aa")) == [("ab", 5), ("c", 3)]
        assert list(filled.parted.scan("p", after="c")) == []
        assert list(filled.parted.scan("none")) == []

    def test_counts_are_of_the_partition(self, filled: Tables) -> None:
        assert [filled.parted.count(part) for part in ("p", "q", "none")] == [3, 1, 0]

    def test_first_last_and_floor(self, filled: Tables) -> None:
        parted = filled.parted

        assert (parted.first("p"), parted.last("p")) == (("a", 1), ("c", 3))
        assert [parted.floor("p", key) for key in ("", "a", "bb", "z")] == [
            None,
            ("a", 1),
            ("b", 2),
            ("c", 3),
        ]
        assert (parted.first("none"), parted.last("none"), parted.floor("none", "a")) == (
            None,
            None,
            None,
        )


class TestDigest:
    @pytest.mark.parametrize(
        "change",
        [change for name, change in CHANGES.items() if " no" not in name],
        ids=[name for name in CHANGES if " no" not in name],
    )
    def test_every_change_changes_it(
        self, state: State, filled: Tables, change: Callable[[Tables], None]
    ) -> None:
        before = state.digest()

        change(filled)

        assert state.digest() != before

    def test_the_order_of_the_puts_does_not_matter(self) -> None:
        one, other = State([Tables]), State([Tables])
        for state, keys in ((one, "abc"), (other, "cab")):
            for key in keys:
                state.of(Tables).plain.put(key, 1)
                state.of(Tables).parted.put(key, "x", 1)

        assert one.digest() == other.digest()

    def test_rows_of_different_tables_are_told_apart(self) -> None:
        one, other = State([Tables]), State([Tables])
        one.of(Tables).parted.put("a", "b", 1)
        other.of(Tables).sequences.append("a", 1, "b")

        assert one.digest() != other.digest()

    def test_g10_equal_logs_give_equal_digests_on_any_hash_seed(self) -> None:
        program = "from tests.core.test_state import a_long_story; print(a_long_story())"

        outputs = [
            subprocess.run(
                [sys.executable, "-c", program],
                env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for seed in ("1", "2")
        ]

        assert outputs == [a_long_story()] * 2


def a_long_story() -> str:
    """Returns the digest of a state with rows in every chat table."""
    story = Story()
    for name in ("x", "y", GENERAL):
        story.given(channel(name), *(join(f"user-{n}", name) for n in range(20)))
    story.given(*(post(f"m{n}", f"user-{n % 7}") for n in range(20)), post(ROOT))
    story.given(*(reply(f"r{n}", f"user-{n % 5}") for n in range(20)), delete("r3"))
    story.given(*(toggle(f"user-{n % 3}", f"emoji-{n % 8}") for n in range(40)))
    story.given(*(mark(n, f"user-{n}") for n in range(1, 20)))
    return story.state.digest().hex()
