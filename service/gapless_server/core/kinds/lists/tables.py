"""Lists: their rows, what looks them up, and how they look to clients.

The order of a list is one immutable tuple of ids that every change of it replaces. Copying ten
thousand ids takes some 20 microseconds and finding one up to 200, which is little beside a commit;
in return an order can be kept, compared and put back as a whole, and a reader that holds one is
never disturbed.
"""

from __future__ import annotations

import msgspec

from gapless.v1 import common_pb2, errors_pb2, lists_pb2
from gapless_server.core.refusals import Refused
from gapless_server.core.state import PartitionedTable, State, Table, UndoLog
from gapless_server.core.times import optional_timestamp_bytes, timestamp_bytes, to_timestamp
from gapless_server.core.writing import writer

_write_item = writer(lists_pb2.ListItem)
_write_result = writer(lists_pb2.ListItemResult)
_write_body = writer(common_pb2.Body)

# All lists of a namespace are one partition, so that they can be listed in order.
ALL = ""

# Keeps one list to what a person can mean by one, and the copy of its order cheap.
LIST_ITEMS_MAX = 10_000

# With the largest bodies an item and its results then take 2.1 MiB, which fits into one answer.
LIST_ITEM_RESULTS_MAX = 32


class ListRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A list that exists: its version, and the ids of its items in their order."""

    version: int
    order: tuple[str, ...]
    create_time_us: int
    update_time_us: int


class ResultRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A result, recorded against the version that its item is at."""

    key: str
    data: bytes
    content_type: str
    record_time_us: int


class ItemRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An item of a list.

    Its version is the list's at which its content was written, so that a version never stands
    for two contents, even if the item is deleted and another inserted under its id.
    """

    data: bytes
    content_type: str
    version: int
    create_time_us: int
    edit_time_us: int = 0  # 0: never
    results: tuple[ResultRow, ...] = ()  # in the order of their keys


class ListTables:
    """The lists, their items by list and id, and the last version of each list ever deleted.

    1. The ids in a list's order are exactly those of its items.
    2. A version of a list is never used again: a list under the id of a deleted one goes on.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.lists: PartitionedTable[str, str, ListRow] = PartitionedTable(undo, ListRow)
        self.items: PartitionedTable[str, str, ItemRow] = PartitionedTable(undo, ItemRow)
        self.deleted_versions: Table[str, int] = Table(undo, int)


def find_list(state: State, list_id: str) -> ListRow | None:
    """Returns the row of a list, or None."""
    return state.of(ListTables).lists.get(ALL, list_id)


def require_list(state: State, list_id: str) -> ListRow:
    """Returns the row of a list. Raises Refused, reason LIST_NOT_FOUND."""
    row = find_list(state, list_id)
    if row is None:
        raise Refused(errors_pb2.ERROR_REASON_LIST_NOT_FOUND, list_id=list_id)
    return row


def list_version(state: State, list_id: str) -> int:
    """Returns the version that a list is at; 0 if it does not exist."""
    row = find_list(state, list_id)
    return 0 if row is None else row.version


def deleted_version(state: State, list_id: str) -> int:
    """Returns the version that the last deletion gave to a list; 0 if it was never deleted."""
    return state.of(ListTables).deleted_versions.get(list_id) or 0


def find_item(state: State, list_id: str, item_id: str) -> ItemRow | None:
    """Returns the row of an item, or None."""
    return state.of(ListTables).items.get(list_id, item_id)


def require_item(state: State, list_id: str, item_id: str) -> ItemRow:
    """Returns the row of an item. Raises Refused: LIST_NOT_FOUND or LIST_ITEM_NOT_FOUND."""
    row = find_item(state, list_id, item_id)
    if row is None:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_ITEM_NOT_FOUND,
            list_id=list_id,
            item_id=item_id,
            list_version=require_list(state, list_id).version,
        )
    return row


def list_resource(list_id: str, row: ListRow) -> lists_pb2.List:
    """Returns a list as clients see it, without its items."""
    return lists_pb2.List(
        list_id=list_id,
        version=row.version,
        item_count=len(row.order),
        create_time=to_timestamp(row.create_time_us),
        update_time=to_timestamp(row.update_time_us),
    )


def written_item(item_id: str, row: ItemRow) -> bytes:
    """Returns an item as clients see it, as its bytes."""
    return _write_item(
        item_id=item_id,
        body=_write_body(data=row.data, content_type=row.content_type),
        version=row.version,
        results=[_written_result(result) for result in row.results],
        create_time=timestamp_bytes(row.create_time_us),
        edit_time=optional_timestamp_bytes(row.edit_time_us),
    )


def _written_result(row: ResultRow) -> bytes:
    return _write_result(
        key=row.key,
        body=_write_body(data=row.data, content_type=row.content_type),
        record_time=timestamp_bytes(row.record_time_us),
    )
