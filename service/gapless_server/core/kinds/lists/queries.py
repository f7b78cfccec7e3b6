"""Reads lists. The pages of one list are all of one version, so no reader sees a mixed order."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.v1 import errors_pb2, lists_pb2
from gapless_server.core.kinds.lists.tables import (
    ALL,
    ItemRow,
    ListRow,
    ListTables,
    list_resource,
    require_item,
    require_list,
    written_item,
)
from gapless_server.core.paging import PageLimits, fill_page, read_token, written_page
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.core.writing import Written, writer

_write_item_response = writer(lists_pb2.GetListItemResponse)

# Where a page of items ends: the list's version, and the index of the last item given.
PageEnd = tuple[int, int]


def get(state: State, request: lists_pb2.GetListRequest, limits: PageLimits) -> Written:
    """Answers GetList."""
    list_id = request.list_id
    row = require_list(state, list_id)
    page_end = read_token(request, tuple[int, int])
    if page_end is not None and page_end[0] != row.version:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_CHANGED_BETWEEN_PAGES,
            list_id=list_id,
            version=row.version,
            page_version=page_end[0],
        )

    def write(_end: PageEnd, item: tuple[str, ItemRow]) -> bytes:
        return written_item(*item)

    first = 0 if page_end is None else max(page_end[1] + 1, 0)
    rows = _items_from(state, list_id, row, first)
    about = list_resource(list_id, row).SerializeToString()
    return written_page(
        request, limits, rows, write, lists_pb2.GetListResponse, "items", list=about
    )


def _items_from(
    state: State, list_id: str, row: ListRow, first: int
) -> Iterator[tuple[PageEnd, tuple[str, ItemRow]]]:
    for index in range(first, len(row.order)):
        item_id = row.order[index]
        yield (row.version, index), (item_id, require_item(state, list_id, item_id))


def get_item(state: State, request: lists_pb2.GetListItemRequest, _limits: PageLimits) -> Written:
    """Answers GetListItem."""
    row = require_item(state, request.list_id, request.item_id)
    response = _write_item_response(
        item=written_item(request.item_id, row),
        list_version=require_list(state, request.list_id).version,
    )
    return Written(lists_pb2.GetListItemResponse, response)


def list_lists(
    state: State, request: lists_pb2.ListListsRequest, limits: PageLimits
) -> lists_pb2.ListListsResponse:
    """Answers ListLists."""
    rows = state.of(ListTables).lists.scan(ALL, after=read_token(request, str))
    lists, token = fill_page(request, limits, rows, list_resource)
    return lists_pb2.ListListsResponse(lists=lists, next_page_token=token)
