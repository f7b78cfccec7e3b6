"""Short ways to say the commands of lists, for the tests of that kind."""

from __future__ import annotations

from gapless.v1.common_pb2 import Body
from gapless.v1.lists_pb2 import (
    CreateListRequest,
    DeleteListItemRequest,
    DeleteListRequest,
    EditListItemRequest,
    GetListRequest,
    InsertListItemsRequest,
    ListPlacement,
    MoveListItemRequest,
    NewListItem,
    RecordListItemResultRequest,
    ReorderListRequest,
)
from tests.core.story import Story

DECK = "deck"

AT_START = ListPlacement(at_start=True)
AT_END = ListPlacement(at_end=True)


def before(item_id: str) -> ListPlacement:
    return ListPlacement(before_item_id=item_id)


def after(item_id: str) -> ListPlacement:
    return ListPlacement(after_item_id=item_id)


def text(value: str) -> Body:
    return Body(data=value.encode(), content_type="text/plain")


def create(list_id: str = DECK) -> CreateListRequest:
    return CreateListRequest(list_id=list_id)


def insert(*item_ids: str, placement: ListPlacement | None = None) -> InsertListItemsRequest:
    items = [NewListItem(item_id=item_id, body=text(f"text of {item_id}")) for item_id in item_ids]
    return InsertListItemsRequest(list_id=DECK, items=items, placement=placement)


def edit(item_id: str, value: str, expected_version: int | None = None) -> EditListItemRequest:
    return EditListItemRequest(
        list_id=DECK, item_id=item_id, body=text(value), expected_version=expected_version
    )


def move(item_id: str, placement: ListPlacement) -> MoveListItemRequest:
    return MoveListItemRequest(list_id=DECK, item_id=item_id, placement=placement)


def reorder(*item_ids: str) -> ReorderListRequest:
    return ReorderListRequest(list_id=DECK, item_ids=item_ids)


def delete_item(item_id: str, expected_version: int | None = None) -> DeleteListItemRequest:
    return DeleteListItemRequest(list_id=DECK, item_id=item_id, expected_version=expected_version)


def delete_list(expected_version: int | None = None) -> DeleteListRequest:
    return DeleteListRequest(list_id=DECK, expected_version=expected_version)


def record(
    item_id: str, item_version: int, value: str = "ok", key: str = "spelling"
) -> RecordListItemResultRequest:
    return RecordListItemResultRequest(
        list_id=DECK, item_id=item_id, item_version=item_version, key=key, body=text(value)
    )


def order_of(story: Story, list_id: str = DECK) -> list[str]:
    """Returns the ids of a list's items, as a reader of all its pages sees them."""
    request = GetListRequest(list_id=list_id, page_size=1000)
    found: list[str] = []
    while True:
        page = story.read(request)
        found += [item.item_id for item in page.items]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def deck_of(*item_ids: str) -> Story:
    """Returns the story in which a list was created and got these items, at version 2."""
    return Story().given(create(), insert(*item_ids))
