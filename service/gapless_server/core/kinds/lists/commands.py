"""Decides what is asked of a list and of the order of its items."""

from __future__ import annotations

from collections.abc import Sequence

from gapless.v1 import errors_pb2, lists_pb2
from gapless_server.core.kernel import Context, Decision, Steps
from gapless_server.core.kinds.lists.placement import (
    anchor_of,
    item_before,
    last_of,
    require_one_place,
    without,
)
from gapless_server.core.kinds.lists.tables import (
    LIST_ITEMS_MAX,
    ListRow,
    deleted_version,
    find_item,
    find_list,
    list_resource,
    require_item,
    require_list,
)
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.state import State
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, InSteps, handfuls

# An error's metadata travels in a header of a few KiB: it names some ids and counts the rest.
_NAMED_IDS_MAX = 10
_NAMED_BYTES_MAX = 512


def create(state: State, command: lists_pb2.CreateListRequest, context: Context) -> Decision:
    """Decides CreateList."""
    list_id = command.list_id or context.new_id()
    row = find_list(state, list_id)
    if row is not None:
        if command.fail_if_unchanged:
            raise Refused(
                errors_pb2.ERROR_REASON_LIST_ALREADY_EXISTS, list_id=list_id, version=row.version
            )
        return Decision([], lists_pb2.CreateListResponse(list=list_resource(list_id, row)))
    version = deleted_version(state, list_id) + 1
    time_us = context.moment.time_us
    new = ListRow(version=version, order=(), create_time_us=time_us, update_time_us=time_us)
    return Decision(
        [lists_pb2.ListCreated(list_id=list_id, list_version=version)],
        lists_pb2.CreateListResponse(list=list_resource(list_id, new)),
    )


@InSteps
def insert(state: State, command: lists_pb2.InsertListItemsRequest, context: Context) -> Steps:
    """Decides InsertListItems."""
    list_id = command.list_id
    if command.HasField("placement"):
        require_one_place(command.placement)
    asked = [item.item_id for item in command.items]
    _require_distinct(asked, "items[{}].item_id")
    row = require_list(state, list_id)
    _require_room(list_id, row, len(asked))
    for item_ids in handfuls(asked):
        for item_id in item_ids:
            _require_free(state, list_id, item_id)
        yield
    anchor = last_of(row.order)
    if command.HasField("placement"):
        anchor = anchor_of(state, list_id, row.order, command.placement)
    inserted = lists_pb2.ListItemsInserted(
        list_id=list_id, after_item_id=anchor, list_version=row.version + 1
    )
    response = lists_pb2.InsertListItemsResponse(list_version=row.version + 1)
    for index, item in enumerate(command.items):
        if index % ROWS_BETWEEN_PAUSES == 0:
            yield
        item_id = item.item_id or context.new_id()
        inserted.items.add(item_id=item_id, body=item.body)
        response.item_ids.append(item_id)
    return Decision([inserted], response)


def move(state: State, command: lists_pb2.MoveListItemRequest, _context: Context) -> Decision:
    """Decides MoveListItem."""
    list_id, item_id, placement = command.list_id, command.item_id, command.placement
    require_one_place(placement)
    for name in ("before_item_id", "after_item_id"):
        if getattr(placement, name) == item_id:
            raise invalid_field(
                f"placement.{name}", f"must name another item than the one to move, {item_id}"
            )
    row = require_list(state, list_id)
    require_item(state, list_id, item_id)
    anchor = anchor_of(state, list_id, without(row.order, item_id), placement)
    if anchor == item_before(row.order, item_id):
        return Decision([], lists_pb2.MoveListItemResponse(list_version=row.version))
    moved = lists_pb2.ListItemMoved(
        list_id=list_id, item_id=item_id, after_item_id=anchor, list_version=row.version + 1
    )
    return Decision([moved], lists_pb2.MoveListItemResponse(list_version=row.version + 1))


def reorder(state: State, command: lists_pb2.ReorderListRequest, _context: Context) -> Decision:
    """Decides ReorderList."""
    list_id, item_ids = command.list_id, tuple(command.item_ids)
    _require_distinct(item_ids, "item_ids[{}]")
    row = require_list(state, list_id)
    if item_ids == row.order:
        return Decision([], lists_pb2.ReorderListResponse(list_version=row.version))
    _require_same_items(list_id, row, item_ids)
    reordered = lists_pb2.ListReordered(
        list_id=list_id, item_ids=item_ids, list_version=row.version + 1
    )
    return Decision([reordered], lists_pb2.ReorderListResponse(list_version=row.version + 1))


def delete(state: State, command: lists_pb2.DeleteListRequest, _context: Context) -> Decision:
    """Decides DeleteList."""
    list_id = command.list_id
    row = find_list(state, list_id)
    if row is None:
        if command.fail_if_unchanged or command.HasField("expected_version"):
            require_list(state, list_id)
        version = deleted_version(state, list_id)
        return Decision([], lists_pb2.DeleteListResponse(version=version))
    if command.HasField("expected_version") and command.expected_version != row.version:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_VERSION_MISMATCH,
            list_id=list_id,
            version=row.version,
            expected_version=command.expected_version,
        )
    deleted = lists_pb2.ListDeleted(list_id=list_id, list_version=row.version + 1)
    return Decision([deleted], lists_pb2.DeleteListResponse(version=row.version + 1))


def _require_distinct(item_ids: Sequence[str], field: str) -> None:
    """Raises Refused, reason INVALID_FIELD, if an id, other than empty, is given twice."""
    first_index: dict[str, int] = {}
    for index, item_id in enumerate(item_ids):
        earlier = first_index.setdefault(item_id, index) if item_id else index
        if earlier != index:
            raise invalid_field(
                field.format(index),
                f"must be in the command once, found {item_id} also in {field.format(earlier)}",
            )


def _require_room(list_id: str, row: ListRow, inserted_count: int) -> None:
    item_count = len(row.order)
    if item_count + inserted_count > LIST_ITEMS_MAX:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_FULL,
            list_id=list_id,
            item_count=item_count,
            inserted_count=inserted_count,
            items_max=LIST_ITEMS_MAX,
        )


def _require_free(state: State, list_id: str, item_id: str) -> None:
    row = find_item(state, list_id, item_id)
    if row is not None:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_ITEM_ALREADY_EXISTS,
            list_id=list_id,
            item_id=item_id,
            version=row.version,
        )


def _require_same_items(list_id: str, row: ListRow, item_ids: Sequence[str]) -> None:
    present, given = set(row.order), set(item_ids)
    missing = [item_id for item_id in row.order if item_id not in given]
    unknown = [item_id for item_id in item_ids if item_id not in present]
    if missing or unknown:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_ITEMS_DIFFER,
            list_id=list_id,
            list_version=row.version,
            missing_count=len(missing),
            missing=_named(missing),
            unknown_count=len(unknown),
            unknown=_named(unknown),
        )


def _named(item_ids: Sequence[str]) -> str:
    """Returns a short text that names some of the ids, at least one if there is any."""
    named: list[str] = []
    size_bytes = 0
    for item_id in item_ids[:_NAMED_IDS_MAX]:
        size_bytes += len(item_id.encode())
        if named and size_bytes > _NAMED_BYTES_MAX:
            break
        named.append(item_id)
    rest = len(item_ids) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "") or "none"
