"""The items of a list: their content, their versions, and the results recorded against them."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.lists_pb2 import (
    DeleteListItemRequest,
    EditListItemRequest,
    GetListItemRequest,
    ListItem,
    ListItemDeleted,
    ListItemEdited,
    ListItemResultRecorded,
)
from gapless_server.core.kinds.lists.tables import LIST_ITEM_RESULTS_MAX
from tests.core.list_commands import (
    AT_START,
    DECK,
    create,
    deck_of,
    delete_item,
    delete_list,
    edit,
    insert,
    move,
    order_of,
    record,
    text,
)
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def deck() -> Story:
    """A list of the items a, b, c; the list and its items are at version 2."""
    return deck_of("a", "b", "c")


def item_of(story: Story, item_id: str) -> ListItem:
    item: ListItem = story.read(GetListItemRequest(list_id=DECK, item_id=item_id)).item
    return item


class TestEdits:
    def test_an_edit_replaces_the_content_and_makes_a_new_version(self, deck: Story) -> None:
        answer = deck.when(edit("b", "new"))

        assert deck.then_events() == [
            ListItemEdited(list_id=DECK, item_id="b", body=text("new"), list_version=3)
        ]
        assert (answer.version, answer.list_version) == (3, 3)
        item = item_of(deck, "b")
        assert (item.body, item.version) == (text("new"), 3)
        assert item.create_time.ToMicroseconds() == START_TIME_US + 2 * STEP_US
        assert item.edit_time.ToMicroseconds() == START_TIME_US + 3 * STEP_US

    def test_an_item_that_was_never_edited_has_no_edit_time(self, deck: Story) -> None:
        assert not item_of(deck, "a").HasField("edit_time")

    def test_the_same_content_again_is_no_change(self, deck: Story) -> None:
        deck.given(insert("d"))

        answer = deck.when(edit("b", "text of b"))

        assert deck.then_events() == []
        assert (answer.version, answer.list_version) == (2, 3)

    def test_an_edit_of_the_expected_version_wins(self, deck: Story) -> None:
        assert deck.when(edit("b", "new", expected_version=2)).version == 3

    @pytest.mark.parametrize("expected_version", [1, 2, 2**63 - 1])
    def test_an_edit_of_another_version_is_refused(
        self, deck: Story, expected_version: int
    ) -> None:
        deck.given(edit("b", "new"))

        refusal = deck.then_refused(
            edit("b", "newer", expected_version), "LIST_ITEM_VERSION_MISMATCH"
        )

        assert refusal.metadata == {
            "list_id": DECK,
            "item_id": "b",
            "version": "3",
            "expected_version": str(expected_version),
        }

    def test_changes_of_others_leave_the_version_of_an_item(self, deck: Story) -> None:
        deck.given(edit("a", "new"), move("b", AT_START), delete_item("c"), insert("d"))

        assert item_of(deck, "b").version == 2

    def test_e8_an_item_that_is_gone_cannot_be_edited(self, deck: Story) -> None:
        deck.given(delete_item("b"))

        refusal = deck.then_refused(edit("b", "new"), "LIST_ITEM_NOT_FOUND")

        assert refusal.metadata == {"list_id": DECK, "item_id": "b", "list_version": "3"}


class TestDeletions:
    def test_an_item_is_taken_out_of_the_order(self, deck: Story) -> None:
        answer = deck.when(delete_item("b", expected_version=2))

        assert deck.then_events() == [ListItemDeleted(list_id=DECK, item_id="b", list_version=3)]
        assert (order_of(deck), answer.list_version) == (["a", "c"], 3)
        deck.then_read_refused(GetListItemRequest(list_id=DECK, item_id="b"), "LIST_ITEM_NOT_FOUND")

    def test_e8_what_is_not_there_is_no_change(self, deck: Story) -> None:
        deck.given(delete_item("b"))

        answer = deck.when(delete_item("b"))

        assert (deck.then_events(), answer.list_version) == ([], 3)

    @pytest.mark.parametrize(
        "command",
        [
            delete_item("x", expected_version=1),
            DeleteListItemRequest(list_id=DECK, item_id="x", fail_if_unchanged=True),
        ],
    )
    def test_a_deletion_may_require_an_item(self, deck: Story, command: Message) -> None:
        deck.then_refused(command, "LIST_ITEM_NOT_FOUND")

    def test_a_deletion_of_another_version_is_refused(self, deck: Story) -> None:
        deck.given(edit("b", "new"))

        deck.then_refused(delete_item("b", expected_version=2), "LIST_ITEM_VERSION_MISMATCH")

    def test_the_last_item_leaves_an_empty_list(self, deck: Story) -> None:
        deck.given(delete_item("a"), delete_item("b"), delete_item("c"), insert("d"))

        assert order_of(deck) == ["d"]


class TestResults:
    def test_e6_a_result_lands_on_the_version_that_it_is_about(self, deck: Story) -> None:
        answer = deck.when(record("b", item_version=2))

        assert deck.then_events() == [
            ListItemResultRecorded(
                list_id=DECK,
                item_id="b",
                item_version=2,
                key="spelling",
                body=text("ok"),
                list_version=3,
            )
        ]
        assert (answer.landed, answer.item_version, answer.list_version) == (True, 2, 3)
        [result] = item_of(deck, "b").results
        assert (result.key, result.body) == ("spelling", text("ok"))
        assert result.record_time.ToMicroseconds() == START_TIME_US + 3 * STEP_US

    def test_e6_after_an_edit_it_changes_nothing_and_tells_what_it_met(self, deck: Story) -> None:
        deck.given(edit("b", "new"))

        answer = deck.when(record("b", item_version=2))

        assert deck.then_events() == []
        assert (answer.landed, answer.item_version, answer.list_version) == (False, 3, 3)
        assert list(item_of(deck, "b").results) == []

    def test_e6_an_edit_takes_the_results_of_the_old_text_away(self, deck: Story) -> None:
        deck.given(record("b", item_version=2), edit("b", "new"))

        assert list(item_of(deck, "b").results) == []

    def test_e6_a_move_and_an_edit_to_the_same_text_keep_them(self, deck: Story) -> None:
        deck.given(record("b", 2), move("b", AT_START), edit("b", "text of b"))

        assert [result.key for result in item_of(deck, "b").results] == ["spelling"]

    def test_e6_it_never_lands_on_another_item_under_the_same_id(self, deck: Story) -> None:
        deck.given(delete_item("b"), insert("b"))

        answer = deck.when(record("b", item_version=2))

        assert (answer.landed, answer.item_version) == (False, 4)

    def test_e6_it_never_lands_in_another_list_under_the_same_id(self, deck: Story) -> None:
        deck.given(delete_list(), create(), insert("b"))

        answer = deck.when(record("b", item_version=2))

        assert (answer.landed, answer.item_version) == (False, 5)

    def test_e6_an_item_that_is_gone_is_met_at_version_0(self, deck: Story) -> None:
        deck.given(delete_item("b"))

        answer = deck.when(record("b", item_version=2))

        assert (answer.landed, answer.item_version, answer.list_version) == (False, 0, 3)

    def test_a_version_that_is_not_yet_is_not_met(self, deck: Story) -> None:
        answer = deck.when(record("b", item_version=2**63 - 1))

        assert (answer.landed, answer.item_version) == (False, 2)

    def test_another_result_under_the_same_key_replaces_the_old_one(self, deck: Story) -> None:
        deck.given(record("b", 2, "bad"), record("b", 2, "ok"))

        assert [result.body for result in item_of(deck, "b").results] == [text("ok")]

    def test_the_same_result_again_is_no_change_but_has_landed(self, deck: Story) -> None:
        deck.given(record("b", 2))

        answer = deck.when(record("b", 2))

        assert (deck.then_events(), answer.landed, answer.list_version) == ([], True, 3)

    def test_results_are_listed_in_the_order_of_their_keys(self, deck: Story) -> None:
        deck.given(record("b", 2, key="z"), record("b", 2, key="a"), record("b", 2, key="k"))

        assert [result.key for result in item_of(deck, "b").results] == ["a", "k", "z"]

    def test_g7_a_version_has_a_bounded_number_of_results(self, deck: Story) -> None:
        keys = [f"key-{number}" for number in range(LIST_ITEM_RESULTS_MAX)]
        deck.given(*(record("b", 2, key=key) for key in keys))

        refusal = deck.then_refused(record("b", 2, key="one more"), "LIST_ITEM_RESULTS_FULL")

        assert refusal.metadata == {
            "list_id": DECK,
            "item_id": "b",
            "version": "2",
            "results_max": "32",
        }
        assert deck.when(record("b", 2, "new", key="key-0")).landed


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (edit("", "x"), "item_id"),
        (EditListItemRequest(list_id=DECK, item_id="a"), "body"),
        (edit("a", "x", expected_version=0), "expected_version"),
        (edit("a", "x", expected_version=-1), "expected_version"),
        (edit("a", "x" * 65_537), "body.data"),
        (record("a", item_version=0), "item_version"),
        (record("a", item_version=-(2**63)), "item_version"),
        (record("a", 2, key=""), "key"),
        (delete_item("a", expected_version=0), "expected_version"),
    ],
)
def test_bad_input_names_its_field_and_changes_nothing(
    deck: Story, command: Message, field: str
) -> None:
    assert deck.then_refused(command, "INVALID_FIELD").faults[0].field == field


def test_g10_a_replay_gives_the_same_state(deck: Story) -> None:
    deck.given(edit("a", "new"), record("b", 2), record("b", 2, "bad"), record("b", 9))
    deck.given(delete_item("b"), insert("b"), edit("b", "x"), record("b", 8))

    deck.assert_sound()
