"""Lists: create, reorder, delete and read them; ``list_items`` has what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.errors import ListChangedBetweenPages
from gapless.v1.lists_pb2 import (
    CreateListRequest,
    CreateListResponse,
    DeleteListRequest,
    DeleteListResponse,
    GetListRequest,
    GetListResponse,
    List,
    ListListsRequest,
    ListListsResponse,
    ReorderListRequest,
    ReorderListResponse,
)

_CREATE: Final = CommandKind("create_list", CreateListResponse)
_REORDER: Final = CommandKind("reorder_list", ReorderListResponse)
_DELETE: Final = CommandKind("delete_list", DeleteListResponse)
_GET: Final = QueryKind("ListService.GetList", GetListResponse)
_LIST: Final = QueryKind("ListService.ListLists", ListListsResponse)

# A list is read in the largest pages that the service gives.
_PAGE_SIZE: Final = 1000
# How often a list is read from its start, if it changes between the pages.
_READ_ATTEMPTS_MAX: Final = 10


class Lists:
    """Ordered lists, such as slide decks; reached as ``client.lists``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self,
        list_id: str | None = None,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CreateListResponse:
        """Creates an empty list. The same id again: ``changed`` is False.

        Args:
            list_id: 1 to 128 characters, unique in the namespace. None: the service makes one.
            fail_if_unchanged: raise ListAlreadyExists if it is there.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The list and the receipt.

        Raises:
            ListAlreadyExists: it is there already, and that was to fail.
            GaplessError: any other failure.
        """
        request = CreateListRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id or "",
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_CREATE, request, timeout)

    async def reorder(
        self,
        list_id: str,
        item_ids: Sequence[str],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReorderListResponse:
        """Puts all items of a list in a new order.

        Args:
            list_id: which list.
            item_ids: every item of the list, once each, in the new order.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version of the list, and the receipt.

        Raises:
            ListNotFound: there is no such list.
            ListItemsDiffer: the ids are not those of the list; the metadata names which.
            InvalidField: an id is given twice.
            GaplessError: any other failure.
        """
        request = ReorderListRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            item_ids=item_ids,
        )
        return await self._calls.submit(_REORDER, request, timeout)

    async def delete(
        self,
        list_id: str,
        *,
        expected_version: int | None = None,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteListResponse:
        """Deletes a list with its items. Not there: ``changed`` is False.

        Args:
            list_id: which list.
            expected_version: delete only at this version of the list, from 1. None: at any.
            fail_if_unchanged: raise ListNotFound if there is none.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version of the deletion, and the receipt.

        Raises:
            ListNotFound: there is no such list, and that was to fail or a version expected.
            ListVersionMismatch: the list is at another version than expected.
            GaplessError: any other failure.
        """
        request = DeleteListRequest(
            request_id=new_request_id() if request_id is None else request_id,
            list_id=list_id,
            expected_version=expected_version,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_DELETE, request, timeout)

    async def get(self, list_id: str, *, timeout: float | None = None) -> GetListResponse:
        """Returns a list with all its items, in their order and of one version.

        A list of more than 1,000 items is read in pages, and anew if it changes in between.

        Args:
            list_id: which list.
            timeout: seconds for each page. None: the client's.

        Raises:
            ListNotFound: there is no such list.
            ListChangedBetweenPages: it went on changing while it was read ten times.
            GaplessError: any other failure.
        """
        for _attempt in range(_READ_ATTEMPTS_MAX - 1):
            try:
                return await self._read(list_id, timeout)
            except ListChangedBetweenPages:
                continue
        return await self._read(list_id, timeout)

    async def _read(self, list_id: str, timeout: float | None) -> GetListResponse:
        """Reads all pages of one version."""
        request = GetListRequest(list_id=list_id, page_size=_PAGE_SIZE)
        whole = await self._calls.query(_GET, request, timeout)
        while whole.next_page_token:
            request.page_token = whole.next_page_token
            page = await self._calls.query(_GET, request, timeout)
            whole.items.extend(page.items)
            whole.next_page_token = page.next_page_token
        return whole

    def list(
        self, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[List]:
        """Lists the lists, without their items, in the order of their ids.

        Args:
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListListsRequest(page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.lists, timeout)
