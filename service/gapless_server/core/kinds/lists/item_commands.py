"""Decides what is asked of one item of a list: its content, its results, its deletion."""

from __future__ import annotations

from gapless.v1 import errors_pb2, lists_pb2
from gapless_server.core.kernel import Context, Decision
from gapless_server.core.kinds.lists.tables import (
    LIST_ITEM_RESULTS_MAX,
    ItemRow,
    find_item,
    require_item,
    require_list,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State


def edit(state: State, command: lists_pb2.EditListItemRequest, _context: Context) -> Decision:
    """Decides EditListItem."""
    list_id, item_id, body = command.list_id, command.item_id, command.body
    current = require_list(state, list_id).version
    row = require_item(state, list_id, item_id)
    if command.HasField("expected_version"):
        _require_version(row, command, command.expected_version)
    if (row.data, row.content_type) == (body.data, body.content_type):
        unchanged = lists_pb2.EditListItemResponse(version=row.version, list_version=current)
        return Decision([], unchanged)
    version = current + 1
    edited = lists_pb2.ListItemEdited(
        list_id=list_id, item_id=item_id, body=body, list_version=version
    )
    response = lists_pb2.EditListItemResponse(version=version, list_version=version)
    return Decision([edited], response)


def delete(state: State, command: lists_pb2.DeleteListItemRequest, _context: Context) -> Decision:
    """Decides DeleteListItem."""
    list_id, item_id = command.list_id, command.item_id
    current = require_list(state, list_id).version
    row = find_item(state, list_id, item_id)
    if row is None:
        if command.fail_if_unchanged or command.HasField("expected_version"):
            require_item(state, list_id, item_id)
        return Decision([], lists_pb2.DeleteListItemResponse(list_version=current))
    if command.HasField("expected_version"):
        _require_version(row, command, command.expected_version)
    deleted = lists_pb2.ListItemDeleted(list_id=list_id, item_id=item_id, list_version=current + 1)
    return Decision([deleted], lists_pb2.DeleteListItemResponse(list_version=current + 1))


def record_result(
    state: State, command: lists_pb2.RecordListItemResultRequest, _context: Context
) -> Decision:
    """Decides RecordListItemResult: it lands on the version that it is about, or nowhere."""
    list_id, item_id, body = command.list_id, command.item_id, command.body
    current = require_list(state, list_id).version
    row = find_item(state, list_id, item_id)
    met_version = 0 if row is None else row.version
    if row is None or met_version != command.item_version:
        return Decision([], _met(met_version, current, landed=False))
    old = next((result for result in row.results if result.key == command.key), None)
    if old is not None and (old.data, old.content_type) == (body.data, body.content_type):
        return Decision([], _met(met_version, current, landed=True))
    if old is None and len(row.results) >= LIST_ITEM_RESULTS_MAX:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_ITEM_RESULTS_FULL,
            list_id=list_id,
            item_id=item_id,
            version=row.version,
            results_max=LIST_ITEM_RESULTS_MAX,
        )
    recorded = lists_pb2.ListItemResultRecorded(
        list_id=list_id,
        item_id=item_id,
        item_version=row.version,
        key=command.key,
        body=body,
        list_version=current + 1,
    )
    return Decision([recorded], _met(met_version, current + 1, landed=True))


def _met(
    item_version: int, list_version: int, *, landed: bool
) -> lists_pb2.RecordListItemResultResponse:
    return lists_pb2.RecordListItemResultResponse(
        landed=landed, item_version=item_version, list_version=list_version
    )


def _require_version(
    row: ItemRow,
    command: lists_pb2.EditListItemRequest | lists_pb2.DeleteListItemRequest,
    expected_version: int,
) -> None:
    """Raises Refused, reason LIST_ITEM_VERSION_MISMATCH, if the item is at another version."""
    if row.version != expected_version:
        raise Refused(
            errors_pb2.ERROR_REASON_LIST_ITEM_VERSION_MISMATCH,
            list_id=command.list_id,
            item_id=command.item_id,
            version=row.version,
            expected_version=expected_version,
        )
