"""Lists: what is read of them, by page, of one version at a time."""

from __future__ import annotations

import pytest

from gapless.v1.lists_pb2 import (
    DeleteListRequest,
    GetListRequest,
    ListListsRequest,
)
from gapless_server.core.paging import make_token
from tests.core.list_commands import (
    AT_END,
    AT_START,
    DECK,
    create,
    deck_of,
    delete_item,
    move,
    reorder,
)
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def deck() -> Story:
    """A list of the items a, b, c, d, e; the list and its items are at version 2."""
    return deck_of("a", "b", "c", "d", "e")


def test_a_list_says_how_large_it_is_and_when_it_changed(deck: Story) -> None:
    deck.given(move("a", AT_END), delete_item("b"))

    found = deck.read(GetListRequest(list_id=DECK)).list

    assert (found.version, found.item_count) == (4, 4)
    assert found.create_time.ToMicroseconds() == START_TIME_US + STEP_US
    assert found.update_time.ToMicroseconds() == START_TIME_US + 4 * STEP_US


def test_pages_follow_the_order_of_the_list(deck: Story) -> None:
    deck.given(reorder("c", "e", "a", "d", "b"))
    request = GetListRequest(list_id=DECK, page_size=2)
    pages = []

    for _page in range(3):
        page = deck.read(request)
        pages.append("".join(item.item_id for item in page.items))
        assert page.list.version == 3
        request.page_token = page.next_page_token

    assert (pages, request.page_token) == (["ce", "ad", "b"], "")


def test_e7_pages_of_two_versions_never_mix(deck: Story) -> None:
    request = GetListRequest(list_id=DECK, page_size=2)
    request.page_token = deck.read(request).next_page_token
    deck.given(move("e", AT_START))

    refusal = deck.then_read_refused(request, "LIST_CHANGED_BETWEEN_PAGES")

    assert refusal.metadata == {"list_id": DECK, "version": "3", "page_version": "2"}


def test_a_token_of_another_list_is_refused(deck: Story) -> None:
    deck.given(create("other"))
    token = deck.read(GetListRequest(list_id=DECK, page_size=2)).next_page_token

    request = GetListRequest(list_id="other", page_token=token)
    assert deck.then_read_refused(request, "INVALID_FIELD").faults[0].field == "page_token"


@pytest.mark.parametrize("index", [-(2**63), -9, 5, 2**63 - 1])
def test_a_token_that_somebody_made_up_breaks_nothing(deck: Story, index: int) -> None:
    request = GetListRequest(list_id=DECK)
    request.page_token = make_token(request, (2, index))

    found = [item.item_id for item in deck.read(request).items]

    assert found == (["a", "b", "c", "d", "e"] if index < 0 else [])


def test_the_lists_are_listed_in_the_order_of_their_ids(deck: Story) -> None:
    deck.given(create("b"), create("a"), create("z"), DeleteListRequest(list_id="b"))
    request = ListListsRequest(page_size=2)

    first = deck.read(request)
    request.page_token = first.next_page_token
    second = deck.read(request)

    assert [one.list_id for one in first.lists] == ["a", DECK]
    assert first.lists[1].item_count == 5
    assert [one.list_id for one in second.lists] == ["z"]
    assert second.next_page_token == ""
