"""Steps: what takes long has pauses in which others have their turn, and is done whole (G5, G7)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message

from gapless.v1.guards_pb2 import Guard
from gapless.v1.lists_pb2 import ListVersionGuard
from gapless_server.core.kernel import Context
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.core.state import PartitionedTable, State, UndoLog
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES
from gapless_server.core.tables import STEPS_BETWEEN_PAUSES
from tests.core import chat_commands as chat
from tests.core import list_commands as lists
from tests.core import pool_commands as pools
from tests.core.batch_commands import batch
from tests.core.dict_store import DictStore
from tests.core.story import KERNEL, Story

# Enough for several pauses.
MANY = 3 * ROWS_BETWEEN_PAUSES + 1


class Tables:
    def __init__(self, undo: UndoLog) -> None:
        self.rows: PartitionedTable[str, int, int] = PartitionedTable(undo, int)


def pauses(steps: Iterator[object]) -> int:
    """Goes through steps; returns how often they stopped."""
    return sum(1 for _ in steps)


class TestDrop:
    """A partition is dropped with pauses, wherever its rows lie."""

    @pytest.fixture
    def store(self) -> DictStore:
        return DictStore()

    @pytest.fixture
    def state(self, store: DictStore) -> State:
        """A third of the rows is in the store, one is being written there, one is new."""
        state = State([Tables])
        state.attach(store)
        self.put(state, 0)
        store.write(state)
        state.thaw()
        self.put(state, MANY)
        store.write(state)
        self.put(state, 2 * MANY)
        state.of(Tables).rows.put("other", 1, 1)
        return state

    @staticmethod
    def put(state: State, first: int) -> None:
        for key in range(first, first + MANY):
            state.of(Tables).rows.put("p", key, key)

    @staticmethod
    def only_the_others() -> bytes:
        state = State([Tables])
        state.of(Tables).rows.put("other", 1, 1)
        return state.digest()

    def test_g7_few_rows_go_between_two_pauses(self, state: State) -> None:
        rows = state.of(Tables).rows
        left = [rows.count("p")]

        for _ in rows.drop_in_steps("p"):
            left.append(rows.count("p"))

        assert left[0] == 3 * MANY
        assert left[-1] == 0
        gone = [before - after for before, after in pairwise(left)]
        assert max(gone) == ROWS_BETWEEN_PAUSES

    @pytest.mark.parametrize("thawed_after", range(3 * MANY // ROWS_BETWEEN_PAUSES))
    def test_no_row_stays_if_a_checkpoint_ends_in_a_pause(
        self, state: State, store: DictStore, thawed_after: int
    ) -> None:
        steps = state.of(Tables).rows.drop_in_steps("p")
        for _ in range(thawed_after):
            next(steps)
        state.thaw()
        pauses(steps)

        assert state.digest() == self.only_the_others()
        store.write(state)
        state.thaw()
        assert state.digest() == self.only_the_others()

    def test_g5_a_drop_is_taken_back(self, state: State) -> None:
        before = state.digest()
        state.undo.begin()
        state.of(Tables).rows.drop("p")
        state.of(Tables).rows.put("p", 5, 0)

        state.undo.roll_back()

        assert state.digest() == before

    def test_rows_in_order_with_pauses_are_those_without(self, state: State) -> None:
        rows = state.of(Tables).rows
        found = []

        for index, row in enumerate(rows.scan_in_steps("p", after=10)):
            if row is not None:
                found.append(row)
            elif index < MANY:
                state.thaw()

        assert found == list(rows.scan("p", after=10))


class InParts(NamedTuple):
    """How a command went: its pauses while it was decided, and the rows changed between others."""

    pauses_deciding: int
    changes: list[int]


class CountingStore(DictStore):
    """Counts the rows that a scan has passed."""

    passed = 0

    def scan(self, *arguments: Any, **named: Any) -> Iterator[tuple[bytes, bytes]]:
        for row in super().scan(*arguments, **named):
            self.passed += 1
            yield row


@pytest.mark.parametrize("is_frozen", [False, True])
def test_g7_rows_that_were_deleted_since_the_last_checkpoint_are_passed_with_pauses(
    *, is_frozen: bool
) -> None:
    store, state = CountingStore(), State([Tables])
    state.attach(store)
    rows = state.of(Tables).rows
    for key in range(MANY):
        rows.put("p", key, key)
    if is_frozen:
        state.freeze()
    else:
        store.write(state)
        state.thaw()
    for key in range(MANY - 1):
        rows.delete("p", key)
    pauses(rows.scan_in_steps("p"))  # puts keys in order, which is done once
    found = list(rows.scan_in_steps("p"))
    passed = [store.passed]
    passed.extend(store.passed for _ in rows.scan_in_steps("p"))

    assert [row for row in found if row is not None] == [(MANY - 1, MANY - 1)]
    assert found.count(None) >= MANY // (ROWS_BETWEEN_PAUSES + 1)
    # Twice: where the pause is to be is found first.
    assert max(after - before for before, after in pairwise(passed)) <= 2 * ROWS_BETWEEN_PAUSES + 2


def test_g7_keys_are_put_in_order_with_pauses() -> None:
    state = State([Tables])
    rows = state.of(Tables).rows
    for key in reversed(range(MANY)):
        rows.put("p", key, key)

    found = list(rows.scan_in_steps("p"))

    first = found.index((0, 0))
    assert found[:first] == [None] * (1 + MANY // ROWS_BETWEEN_PAUSES)
    assert [row for row in found if row is not None] == [(key, key) for key in range(MANY)]


def run(story: Story, command: Message) -> InParts:
    """Decides and applies a command in steps."""
    deciding = story.typed(command).steps(story.state, Context(story.moment, "", "made-"))
    pauses_deciding = 0
    while True:
        try:
            next(deciding)
        except StopIteration as end:
            decision = end.value
            break
        pauses_deciding += 1
    undo, done, changes = story.state.undo, 0, []
    undo.begin()
    for _ in chain(KERNEL.evolve_in_steps(story.state, decision.events, story.moment), [None]):
        assert undo.steps is not None
        changes.append(len(undo.steps) - done)
        done = len(undo.steps)
    undo.steps = None
    return InParts(pauses_deciding, changes)


class TestCommands:
    """What leads to many rows changes a few of them between two pauses (G7)."""

    def test_g7_items_of_a_list(self) -> None:
        story = Story().given(lists.create())

        inserting = run(story, lists.insert(*map(str, range(MANY))))
        deleting = run(story, lists.delete_list())

        assert inserting.pauses_deciding > 2 * MANY // ROWS_BETWEEN_PAUSES
        assert sum(inserting.changes) > MANY
        assert max(inserting.changes) <= ROWS_BETWEEN_PAUSES + 1
        assert sum(deleting.changes) > MANY
        assert max(deleting.changes) <= ROWS_BETWEEN_PAUSES + 1

    def test_g7_the_reactions_of_a_message(self) -> None:
        story = Story().given(chat.channel(), chat.post(chat.ROOT))
        story.given(*(chat.add(f"user-{number}") for number in range(MANY)))

        deleting = run(story, chat.delete(chat.ROOT))

        assert sum(deleting.changes) > MANY
        assert max(deleting.changes) <= ROWS_BETWEEN_PAUSES + 1


class TestPools:
    """What is done to a pool's numbers is done to a few of them between two pauses (G7)."""

    @pytest.fixture
    def story(self) -> Story:
        """Of a pool whose odd numbers are held, each by a reservation of ANN that expires."""
        story = Story().given(pools.create((1, 2 * MANY)))
        held = (
            pools.reserve(f"k{number}", preferred=number, only_preferred=True, ttl_seconds=10**6)
            for number in range(1, 2 * MANY, 2)
        )
        return story.given(*held)

    def test_g7_other_ranges(self, story: Story) -> None:
        updating = run(story, pools.update_ranges((10**6, 10**6 + 2 * MANY)))

        assert updating.pauses_deciding > MANY // ROWS_BETWEEN_PAUSES
        assert sum(updating.changes) > 2 * MANY
        assert max(updating.changes) <= ROWS_BETWEEN_PAUSES + 1

    def test_g7_a_release_of_all_that_an_owner_holds(self, story: Story) -> None:
        releasing = run(story, pools.release_owner())

        assert releasing.pauses_deciding > MANY // ROWS_BETWEEN_PAUSES
        assert max(releasing.changes) <= ROWS_BETWEEN_PAUSES

    def test_g7_a_clean_up_of_what_an_owner_who_is_gone_holds(self, story: Story) -> None:
        cleaning = run(story, pools.clean_up(pools.ANN))

        assert cleaning.pauses_deciding > MANY // ROWS_BETWEEN_PAUSES
        assert max(cleaning.changes) <= ROWS_BETWEEN_PAUSES

    def test_g7_a_clean_up_of_what_has_expired(self, story: Story) -> None:
        story.idle(10**7)

        cleaning = run(story, pools.clean_up())

        assert cleaning.pauses_deciding > MANY // ROWS_BETWEEN_PAUSES
        assert max(cleaning.changes) <= ROWS_BETWEEN_PAUSES

    def test_g7_a_group_of_many_runs(self, story: Story) -> None:
        reserving = run(story, pools.reserve_group("g", 1000))

        assert sum(reserving.changes) > 3000
        assert max(reserving.changes) <= ROWS_BETWEEN_PAUSES

    def test_g7_a_group_that_a_sweep_makes_room_for(self, story: Story) -> None:
        story.idle(10**7)

        reserving = run(story, pools.reserve_group("g", 1000, contiguous=True))

        # A thousand end, fifty of them at a time.
        assert reserving.pauses_deciding >= 20
        assert max(reserving.changes) <= ROWS_BETWEEN_PAUSES

    def test_g7_a_number_that_a_sweep_makes_room_for(self, story: Story) -> None:
        story.given(pools.update_ranges((1, 1))).idle(10**7)

        reserving = run(story, pools.reserve("n"))

        assert reserving.pauses_deciding >= 20
        assert sum(reserving.changes) > 3000
        assert max(reserving.changes) <= ROWS_BETWEEN_PAUSES

    def test_g7_a_search_for_numbers_that_fits_nowhere(self, story: Story) -> None:
        # Free are the even numbers: every other one fits, and the last never does.
        offsets = [*range(0, 100, 2), 101]
        steps = story.typed(pools.reserve_group("g", offsets=offsets)).steps(
            story.state, Context(story.moment, "", "made-")
        )
        refused_after: list[None] = []

        with pytest.raises(Refused, match="offsets"):
            refused_after.extend(steps)

        assert len(refused_after) > MANY // ROWS_BETWEEN_PAUSES

    @pytest.mark.parametrize("seconds", [0, 10**7])
    def test_g7_a_preview_of_a_clean_up(self, story: Story, seconds: int) -> None:
        story.idle(seconds)
        limits = PageLimits(page_items_default=MANY, page_items_max=MANY)

        steps = KERNEL.query_in_steps(story.state, pools.preview(pools.ANN), limits, story.moment)

        assert pauses(steps) >= MANY // ROWS_BETWEEN_PAUSES

    def test_a_preview_that_finds_nothing_looks_at_nobody_else(self, story: Story) -> None:
        asked = (story.state, pools.preview("nobody"), PageLimits(), story.moment)
        pauses(KERNEL.query_in_steps(*asked))  # puts keys in order, which is done once

        assert pauses(KERNEL.query_in_steps(*asked)) == 1


class TestBatches:
    """A batch has the pauses of its members, and those of what it takes back."""

    def test_g7_members_are_decided_and_applied_in_steps(self) -> None:
        story = Story()
        undo = story.state.undo
        members = [lists.create(), lists.insert(*map(str, range(MANY)))]
        steps = story.typed(batch(*members)).steps(story.state, Context(story.moment, "", "made-"))

        changes = [len(undo.steps) for _ in steps if undo.steps is not None]

        # One row is that of the list. The items are looked for, then made, then put.
        assert changes.count(1) > 2 * MANY // ROWS_BETWEEN_PAUSES
        jumps = [after - before for before, after in pairwise(changes)]
        assert max(jumps) <= ROWS_BETWEEN_PAUSES + 1

    def test_g7_a_refused_batch_is_taken_back_in_steps(self) -> None:
        story = Story().given(lists.create())
        before = story.state.digest()
        members = [lists.insert(*map(str, range(MANY))), lists.delete_list(expected_version=9)]
        steps = story.typed(batch(*members)).steps(story.state, Context(story.moment, "", "made-"))
        is_taken_back: list[bool] = []

        with pytest.raises(Refused):
            is_taken_back.extend(story.state.undo.steps is None for _ in steps)

        assert sum(is_taken_back) >= MANY // STEPS_BETWEEN_PAUSES
        assert story.state.digest() == before

    def test_g5_steps_that_are_given_up_leave_no_trace(self) -> None:
        story = Story().given(lists.create())
        before = story.state.digest()
        members = [lists.insert(*map(str, range(MANY)))]
        steps = story.typed(batch(*members)).steps(story.state, Context(story.moment, "", "made-"))
        while story.state.digest() == before:
            next(steps)

        steps.close()

        assert story.state.digest() == before

    def test_g5_guards_of_a_command_in_steps_are_looked_at(self) -> None:
        story = Story().given(lists.create())
        guard = Guard(list_version=ListVersionGuard(list_id=lists.DECK, version=7))

        typed = story.typed(lists.insert("a"), [guard])

        with pytest.raises(Refused, match="guard"):
            pauses(typed.steps(story.state, Context(story.moment, "", "made-")))
