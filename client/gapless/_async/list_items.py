"""Items of lists: insert, edit, move, delete and read them, and record results about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gapless._async._calls import Calls
from gapless._bodies import BodyLike, fill_body
from gapless._commands import CommandKind
from gapless._list_requests import new_items, placement
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.lists_pb2 import (
    DeleteListItemRequest,
    DeleteListItemResponse,
    EditListItemRequest,
    EditListItemResponse,
    GetListItemRequest,
    GetListItemResponse,
    InsertListItemsRequest,
    InsertListItemsResponse,
    ListItem,
    MoveListItemRequest,
    MoveListItemResponse,
    RecordListItemResultRequest,
    RecordListItemResultResponse,
)

_INSERT: Final = CommandKind("insert_list_items", InsertListItemsResponse)
_EDIT: Final = CommandKind("edit_list_item", EditListItemResponse)
_MOVE: Final = CommandKind("move_list_item", MoveListItemResponse)
_DELETE: Final = CommandKind("delete_list_item", DeleteListItemResponse)
_RECORD_RESULT: Final = CommandKind("record_list_item_result", RecordListItemResultResponse)
_GET: Final = QueryKind("ListService.GetListItem", GetListItemResponse)


class ListItems:
    """What is in a list, named by id and never by index; reached as ``client.list_items``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def insert(
        self,
        list_id: str,
        items: Mapping[str, BodyLike] | Sequence[BodyLike],
        *,
        before: str | None = None,
        after: str | None = None,
        at_start: bool = False,
        at_end: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> InsertListItemsResponse:
        """Puts new items into a list, next to each other; at the end, if no place is given.

        Args:
            list_id: which list.
            items: bodies by item id, or just bodies, whose ids the service makes; 1 to 10,000.
            before: the id of the item to put them before.
            after: the id of the item to put them after.
            at_start: put them before all others.
            at_end: put them after all others.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The ids of the items, the version of the list, and the receipt.

        Raises:
            TypeError: `items` is a single text.
            ListNotFound: there is no such list.
            ListItemNotFound: the item to put them beside is not in the list.
            ListItemAlreadyExists: one of the ids is taken.
            ListFull: the list would have more than 10,000 items.
            InvalidField: more than one place is given, or a field breaks its rule.
            GaplessError: any other failure.
        """
        request = InsertListItemsRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            items=new_items(items),
            placement=placement(before, after, at_start=at_start, at_end=at_end),
        )
        return await self._calls.submit(_INSERT, request, timeout)

    async def edit(
        self,
        list_id: str,
        item_id: str,
        body: BodyLike,
        *,
        expected_version: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> EditListItemResponse:
        """Replaces the content of an item, whose results go. The same content: no change.

        Args:
            list_id: which list.
            item_id: which item.
            body: the new content: a text, bytes or a ``Body``; at most 65,536 bytes.
            expected_version: edit only at this version of the item, from 1. None: at any.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The versions of the item and of the list, and the receipt.

        Raises:
            ListNotFound: there is no such list.
            ListItemNotFound: the item is not in it.
            ListItemVersionMismatch: the item is at another version than expected.
            GaplessError: any other failure.
        """
        request = EditListItemRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            item_id=item_id,
            expected_version=expected_version,
        )
        fill_body(request.body, body)
        return await self._calls.submit(_EDIT, request, timeout)

    async def move(
        self,
        list_id: str,
        item_id: str,
        *,
        before: str | None = None,
        after: str | None = None,
        at_start: bool = False,
        at_end: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> MoveListItemResponse:
        """Moves an item. Where it already is: ``changed`` is False.

        Args:
            list_id: which list.
            item_id: which item.
            before: the id of the item to put it before.
            after: the id of the item to put it after.
            at_start: put it before all others.
            at_end: put it after all others.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version of the list, and the receipt.

        Raises:
            ListNotFound: there is no such list.
            ListItemNotFound: it, or the item to put it beside, is not in the list.
            InvalidField: not exactly one place is given, or it is the item itself.
            GaplessError: any other failure.
        """
        request = MoveListItemRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            item_id=item_id,
            placement=placement(before, after, at_start=at_start, at_end=at_end),
        )
        return await self._calls.submit(_MOVE, request, timeout)

    async def delete(
        self,
        list_id: str,
        item_id: str,
        *,
        expected_version: int | None = None,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteListItemResponse:
        """Takes an item out of a list. Not in it: ``changed`` is False.

        Args:
            list_id: which list.
            item_id: which item.
            expected_version: delete only at this version of the item, from 1. None: at any.
            fail_if_unchanged: raise ListItemNotFound if it is not in the list.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version of the list, and the receipt.

        Raises:
            ListNotFound: there is no such list.
            ListItemNotFound: the item is not in it, and that was to fail or a version expected.
            ListItemVersionMismatch: the item is at another version than expected.
            GaplessError: any other failure.
        """
        request = DeleteListItemRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            item_id=item_id,
            expected_version=expected_version,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_DELETE, request, timeout)

    async def record_result(
        self,
        list_id: str,
        item_id: str,
        item_version: int,
        key: str,
        body: BodyLike,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RecordListItemResultResponse:
        """Records a result, such as a verification, against one version of an item.

        Args:
            list_id: which list.
            item_id: which item.
            item_version: the version that the result is about, from 1.
            key: what kind of result it is, such as ``"spelling"``.
            body: the result: a text, bytes or a ``Body``; at most 65,536 bytes.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            ``landed`` is False if the item is at another version by now, which
            ``item_version`` says, 0 if it is gone; the version of the list, and the receipt.

        Raises:
            ListNotFound: there is no such list.
            ListItemResultsFull: the version has 32 results under other keys.
            GaplessError: any other failure.
        """
        request = RecordListItemResultRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            item_id=item_id,
            item_version=item_version,
            key=key,
        )
        fill_body(request.body, body)
        return await self._calls.submit(_RECORD_RESULT, request, timeout)

    async def get(self, list_id: str, item_id: str, *, timeout: float | None = None) -> ListItem:
        """Returns one item, with the results that are recorded against its version.

        Args:
            list_id: which list.
            item_id: which item.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            ListNotFound: there is no such list.
            ListItemNotFound: the item is not in it.
            GaplessError: any other failure.
        """
        request = GetListItemRequest(list_id=list_id, item_id=item_id)
        response = await self._calls.query(_GET, request, timeout)
        return response.item
