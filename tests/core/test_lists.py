"""Lists as wholes: creation, deletion, the order of the items, and reading them by page."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.lists_pb2 import (
    CreateListRequest,
    DeleteListRequest,
    GetListRequest,
    InsertListItemsRequest,
    ListCreated,
    ListDeleted,
    ListItemMoved,
    ListItemsInserted,
    ListPlacement,
    ListReordered,
    MoveListItemRequest,
    NewListItem,
)
from gapless_server.core.kinds.lists import list_version
from tests.core.list_commands import (
    AT_END,
    AT_START,
    DECK,
    after,
    before,
    create,
    deck_of,
    delete_item,
    delete_list,
    edit,
    insert,
    move,
    order_of,
    reorder,
    text,
)
from tests.core.story import Story


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def deck() -> Story:
    """A list of the items a, b, c, d, e; the list and its items are at version 2."""
    return deck_of("a", "b", "c", "d", "e")


class TestBeingThere:
    def test_a_new_list_is_empty_and_at_version_1(self, story: Story) -> None:
        answer = story.when(create())

        assert story.then_events() == [ListCreated(list_id=DECK, list_version=1)]
        assert (answer.list.list_id, answer.list.version, answer.list.item_count) == (DECK, 1, 0)
        assert story.read(GetListRequest(list_id=DECK)).list == answer.list

    def test_the_service_makes_an_id_if_none_is_given(self, story: Story) -> None:
        answer = story.when(CreateListRequest())

        assert answer.list.list_id == "made-1-1"

    def test_the_same_id_again_is_no_change(self, deck: Story) -> None:
        answer = deck.when(create())

        assert deck.then_events() == []
        assert (answer.list.version, answer.list.item_count) == (2, 5)

    def test_a_caller_may_ask_for_failure_if_the_list_is_there(self, deck: Story) -> None:
        command = CreateListRequest(list_id=DECK, fail_if_unchanged=True)

        refusal = deck.then_refused(command, "LIST_ALREADY_EXISTS")

        assert refusal.metadata == {"list_id": DECK, "version": "2"}

    def test_a_deleted_list_is_gone_with_its_items(self, deck: Story) -> None:
        answer = deck.when(delete_list(expected_version=2))

        assert deck.then_events() == [ListDeleted(list_id=DECK, list_version=3)]
        assert answer.version == 3
        deck.then_read_refused(GetListRequest(list_id=DECK), "LIST_NOT_FOUND")

    def test_a_list_that_is_created_anew_is_empty_and_its_versions_go_on(self, deck: Story) -> None:
        deck.given(delete_list())

        answer = deck.when(create())

        assert (answer.list.version, answer.list.item_count) == (4, 0)
        assert order_of(deck) == []

    def test_a_deletion_of_what_is_not_there_is_no_change(self, story: Story) -> None:
        assert story.when(delete_list()).version == 0

        story.given(create(), delete_list())

        assert story.when(delete_list()).version == 2
        assert story.then_events() == []

    @pytest.mark.parametrize(
        "command",
        [
            DeleteListRequest(list_id=DECK, fail_if_unchanged=True),
            delete_list(expected_version=1),
        ],
    )
    def test_a_deletion_may_require_a_list(self, story: Story, command: Message) -> None:
        assert story.then_refused(command, "LIST_NOT_FOUND").metadata == {"list_id": DECK}

    def test_a_deletion_at_another_version_is_refused(self, deck: Story) -> None:
        refusal = deck.then_refused(delete_list(expected_version=1), "LIST_VERSION_MISMATCH")

        assert refusal.metadata == {"list_id": DECK, "version": "2", "expected_version": "1"}

    @pytest.mark.parametrize(
        "command",
        [insert("a"), edit("a", "x"), move("a", AT_END), reorder("a"), delete_item("a")],
        ids=lambda command: type(command).__name__,
    )
    def test_whatever_names_no_list_is_refused(self, story: Story, command: Message) -> None:
        story.then_refused(command, "LIST_NOT_FOUND")

    def test_guards_see_the_version_of_a_list_and_0_for_none(self, deck: Story) -> None:
        deck.given(create("gone"), DeleteListRequest(list_id="gone"))

        assert [list_version(deck.state, one) for one in (DECK, "gone", "never")] == [2, 0, 0]


class TestInserts:
    def test_items_are_put_at_the_end_if_no_place_is_given(self, deck: Story) -> None:
        answer = deck.when(insert("x", "y"))

        assert order_of(deck) == ["a", "b", "c", "d", "e", "x", "y"]
        assert (list(answer.item_ids), answer.list_version) == (["x", "y"], 3)

    @pytest.mark.parametrize(
        ("placement", "anchor", "order"),
        [
            (AT_START, "", "xyabcde"),
            (AT_END, "e", "abcdexy"),
            (before("a"), "", "xyabcde"),
            (before("c"), "b", "abxycde"),
            (after("c"), "c", "abcxyde"),
            (after("e"), "e", "abcdexy"),
        ],
    )
    def test_items_are_put_where_they_are_wanted(
        self, deck: Story, placement: ListPlacement, anchor: str, order: str
    ) -> None:
        deck.given(insert("x", "y", placement=placement))

        [event] = deck.then_events()
        assert isinstance(event, ListItemsInserted)
        assert event.after_item_id == anchor
        assert order_of(deck) == list(order)

    @pytest.mark.parametrize("placement", [None, AT_START, AT_END])
    def test_every_place_of_an_empty_list_is_the_same(
        self, story: Story, placement: ListPlacement | None
    ) -> None:
        story.given(create(), insert("a", "b", placement=placement))

        assert order_of(story) == ["a", "b"]

    def test_the_service_makes_the_ids_that_are_not_given(self, story: Story) -> None:
        story.given(create())
        items = [NewListItem(item_id=one, body=text("x")) for one in ("", "own", "")]

        answer = story.when(InsertListItemsRequest(list_id=DECK, items=items))

        assert list(answer.item_ids) == ["made-2-1", "own", "made-2-2"]
        assert order_of(story) == ["made-2-1", "own", "made-2-2"]

    def test_e8_an_item_to_stand_beside_must_be_in_the_list(self, deck: Story) -> None:
        deck.given(delete_item("b"))

        for placement in (before("b"), after("b")):
            refusal = deck.then_refused(insert("x", placement=placement), "LIST_ITEM_NOT_FOUND")
            assert refusal.metadata == {"list_id": DECK, "item_id": "b", "list_version": "3"}

    def test_an_id_that_is_taken_refuses_all_of_them(self, deck: Story) -> None:
        refusal = deck.then_refused(insert("x", "c", "y"), "LIST_ITEM_ALREADY_EXISTS")

        assert refusal.metadata == {"list_id": DECK, "item_id": "c", "version": "2"}

    def test_g7_a_list_takes_10000_items_and_not_one_more(self, story: Story) -> None:
        item_ids = [f"item-{number}" for number in range(10_000)]
        story.given(create(), insert(*item_ids))
        assert order_of(story) == item_ids

        refusal = story.then_refused(insert("x"), "LIST_FULL")

        assert refusal.metadata == {
            "list_id": DECK,
            "item_count": "10000",
            "inserted_count": "1",
            "items_max": "10000",
        }


class TestMoves:
    @pytest.mark.parametrize(
        ("item_id", "placement", "anchor", "order"),
        [
            ("c", AT_START, "", "cabde"),
            ("c", AT_END, "e", "abdec"),
            ("c", before("a"), "", "cabde"),
            ("c", before("b"), "a", "acbde"),
            ("c", after("d"), "d", "abdce"),
            ("a", before("e"), "d", "bcdae"),
            ("e", after("a"), "a", "aebcd"),
            ("a", AT_END, "e", "bcdea"),
        ],
    )
    def test_an_item_moves_where_it_is_wanted(
        self, deck: Story, item_id: str, placement: ListPlacement, anchor: str, order: str
    ) -> None:
        answer = deck.when(move(item_id, placement))

        assert deck.then_events() == [
            ListItemMoved(list_id=DECK, item_id=item_id, after_item_id=anchor, list_version=3)
        ]
        assert order_of(deck) == list(order)
        assert answer.list_version == 3

    @pytest.mark.parametrize(
        ("item_id", "placement"),
        [
            ("a", AT_START),
            ("e", AT_END),
            ("c", before("d")),
            ("c", after("b")),
            ("a", before("b")),
            ("e", after("d")),
        ],
    )
    def test_to_where_it_already_is_is_no_change(
        self, deck: Story, item_id: str, placement: ListPlacement
    ) -> None:
        answer = deck.when(move(item_id, placement))

        assert (deck.then_events(), answer.list_version) == ([], 2)

    def test_the_only_item_is_everywhere_already(self, story: Story) -> None:
        story.given(create(), insert("a"), move("a", AT_END), move("a", AT_START))

        assert story.then_events() == []

    @pytest.mark.parametrize(("item_id", "placement"), [("x", AT_END), ("a", before("x"))])
    def test_e8_moves_name_items_that_must_be_there(
        self, deck: Story, item_id: str, placement: ListPlacement
    ) -> None:
        refusal = deck.then_refused(move(item_id, placement), "LIST_ITEM_NOT_FOUND")

        assert refusal.metadata["item_id"] == "x"


class TestReorderings:
    def test_e7_a_whole_new_order(self, deck: Story) -> None:
        answer = deck.when(reorder("e", "d", "c", "b", "a"))

        assert deck.then_events() == [
            ListReordered(list_id=DECK, item_ids=["e", "d", "c", "b", "a"], list_version=3)
        ]
        assert (order_of(deck), answer.list_version) == (["e", "d", "c", "b", "a"], 3)

    def test_the_same_order_is_no_change(self, deck: Story) -> None:
        answer = deck.when(reorder("a", "b", "c", "d", "e"))

        assert (deck.then_events(), answer.list_version) == ([], 2)

    def test_an_empty_list_has_an_empty_order(self, story: Story) -> None:
        story.given(create(), reorder())

        assert story.then_events() == []

    def test_e7_other_ids_are_refused_naming_which_are_missing_and_which_unknown(
        self, deck: Story
    ) -> None:
        refusal = deck.then_refused(reorder("e", "x", "c", "y", "a"), "LIST_ITEMS_DIFFER")

        assert refusal.metadata == {
            "list_id": DECK,
            "list_version": "2",
            "missing_count": "2",
            "missing": "b, d",
            "unknown_count": "2",
            "unknown": "x, y",
        }

    def test_a_part_of_the_ids_is_refused(self, deck: Story) -> None:
        refusal = deck.then_refused(reorder("e", "c"), "LIST_ITEMS_DIFFER")

        assert (refusal.metadata["missing"], refusal.metadata["unknown"]) == ("a, b, d", "none")

    def test_g7_a_refusal_names_ten_ids_and_counts_the_rest(self, story: Story) -> None:
        story.given(create(), insert(*(f"item-{number}" for number in range(10_000))))

        refusal = story.then_refused(reorder(), "LIST_ITEMS_DIFFER")

        named = ", ".join(f"item-{number}" for number in range(10))
        assert refusal.metadata["missing"] == f"{named} and 9990 more"
        assert refusal.metadata["missing_count"] == "10000"

    def test_g7_a_refusal_with_the_longest_ids_stays_short(self, story: Story) -> None:
        item_ids = [chr(0x1F600 + number) * 128 for number in range(5)]
        story.given(create(), insert(*item_ids))

        refusal = story.then_refused(reorder(), "LIST_ITEMS_DIFFER")

        assert refusal.metadata["missing"] == f"{item_ids[0]} and 4 more"


BAD_COMMANDS = [
    ("no items", insert(), "items"),
    ("10,001 items", insert(*map(str, range(10_001))), "items"),
    ("an id twice", insert("x", "y", "x"), "items[2].item_id"),
    ("a long id", insert("x" * 129), "items[0].item_id"),
    (
        "no body",
        InsertListItemsRequest(list_id=DECK, items=[NewListItem(item_id="x")]),
        "items[0].body",
    ),
    (
        "before and after",
        insert("x", placement=ListPlacement(before_item_id="a", after_item_id="a")),
        "placement",
    ),
    ("an empty place", insert("x", placement=ListPlacement()), "placement"),
    ("all places", move("a", ListPlacement(at_start=True, at_end=True)), "placement"),
    ("a move to nowhere", MoveListItemRequest(list_id=DECK, item_id="a"), "placement"),
    ("a move before itself", move("a", before("a")), "placement.before_item_id"),
    ("a move after itself", move("a", after("a")), "placement.after_item_id"),
    ("a place that is no id", move("a", before("\n")), "placement.before_item_id"),
    ("an id twice in an order", reorder("a", "b", "c", "a"), "item_ids[3]"),
    ("no id in an order", reorder("a", ""), "item_ids[1]"),
    ("10,001 ids", reorder(*map(str, range(10_001))), "item_ids"),
    ("a deletion at version 0", delete_list(expected_version=0), "expected_version"),
    ("a deletion at version -1", delete_list(expected_version=-1), "expected_version"),
]


@pytest.mark.parametrize(
    ("command", "field"),
    [pytest.param(command, field, id=name) for name, command, field in BAD_COMMANDS],
)
def test_bad_input_names_its_field_and_changes_nothing(
    deck: Story, command: Message, field: str
) -> None:
    assert deck.then_refused(command, "INVALID_FIELD").faults[0].field == field


def test_a_placement_that_says_two_places_names_both(deck: Story) -> None:
    both = ListPlacement(before_item_id="a", at_end=True)

    refusal = deck.then_refused(insert("x", placement=both), "INVALID_FIELD")

    assert refusal.metadata["description"] == (
        "must have exactly one of before_item_id, after_item_id, at_start, at_end,"
        " found before_item_id and at_end"
    )


def test_g5_a_failed_batch_leaves_no_trace(deck: Story) -> None:
    deck.undone(
        [
            insert("x", placement=AT_START),
            edit("a", "other"),
            move("b", AT_END),
            reorder("x", "b", "e", "d", "c", "a"),
            delete_item("c"),
            delete_list(),
            create(),
            insert("a"),
        ]
    )

    assert order_of(deck) == ["a", "b", "c", "d", "e"]


def test_g10_a_replay_gives_the_same_state(deck: Story) -> None:
    deck.given(move("b", AT_END), reorder("e", "d", "c", "b", "a"), delete_item("c"), delete_list())
    deck.given(create(), insert("a"))

    deck.assert_sound()
