"""Evolves lists: what each event makes of the state."""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from gapless.v1 import lists_pb2
from gapless_server.core.kinds.lists.placement import placed, without
from gapless_server.core.kinds.lists.tables import (
    ALL,
    ItemRow,
    ListRow,
    ListTables,
    ResultRow,
    require_item,
    require_list,
)
from gapless_server.core.state import Moment, State
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, InSteps


def created(state: State, event: lists_pb2.ListCreated, moment: Moment) -> None:
    """A list came into being, empty."""
    row = ListRow(
        version=event.list_version,
        order=(),
        create_time_us=moment.time_us,
        update_time_us=moment.time_us,
    )
    state.of(ListTables).lists.put(ALL, event.list_id, row)


@InSteps
def items_inserted(
    state: State, event: lists_pb2.ListItemsInserted, moment: Moment
) -> Generator[None, None, None]:
    """Items were put into a list."""
    items = state.of(ListTables).items
    item_ids = [item.item_id for item in event.items]
    for index, (item_id, item) in enumerate(zip(item_ids, event.items, strict=True)):
        if index % ROWS_BETWEEN_PAUSES == 0:
            yield
        row = ItemRow(
            data=item.body.data,
            content_type=item.body.content_type,
            version=event.list_version,
            create_time_us=moment.time_us,
        )
        items.put(event.list_id, item_id, row)
    order = placed(require_list(state, event.list_id).order, item_ids, event.after_item_id)
    _put_order(state, event.list_id, order, event.list_version, moment)


def item_edited(state: State, event: lists_pb2.ListItemEdited, moment: Moment) -> None:
    """The content of an item was replaced; the results about the old one go with it."""
    row = msgspec.structs.replace(
        require_item(state, event.list_id, event.item_id),
        data=event.body.data,
        content_type=event.body.content_type,
        version=event.list_version,
        edit_time_us=moment.time_us,
        results=(),
    )
    state.of(ListTables).items.put(event.list_id, event.item_id, row)
    _put_version(state, event.list_id, event.list_version, moment)


def item_moved(state: State, event: lists_pb2.ListItemMoved, moment: Moment) -> None:
    """An item was moved."""
    rest = without(require_list(state, event.list_id).order, event.item_id)
    order = placed(rest, [event.item_id], event.after_item_id)
    _put_order(state, event.list_id, order, event.list_version, moment)


def reordered(state: State, event: lists_pb2.ListReordered, moment: Moment) -> None:
    """All items were put in a new order."""
    # The ids that the state already holds, so that the new order does not keep copies of them.
    own = {item_id: item_id for item_id in require_list(state, event.list_id).order}
    order = tuple(own[item_id] for item_id in event.item_ids)
    _put_order(state, event.list_id, order, event.list_version, moment)


def item_deleted(state: State, event: lists_pb2.ListItemDeleted, moment: Moment) -> None:
    """An item was taken out of a list."""
    state.of(ListTables).items.delete(event.list_id, event.item_id)
    order = without(require_list(state, event.list_id).order, event.item_id)
    _put_order(state, event.list_id, order, event.list_version, moment)


def item_result_recorded(
    state: State, event: lists_pb2.ListItemResultRecorded, moment: Moment
) -> None:
    """A result was recorded, in the place of an older one under the same key."""
    row = require_item(state, event.list_id, event.item_id)
    result = ResultRow(
        key=event.key,
        data=event.body.data,
        content_type=event.body.content_type,
        record_time_us=moment.time_us,
    )
    others = [other for other in row.results if other.key != event.key]
    results = tuple(sorted([*others, result], key=lambda each: each.key))
    row = msgspec.structs.replace(row, results=results)
    state.of(ListTables).items.put(event.list_id, event.item_id, row)
    _put_version(state, event.list_id, event.list_version, moment)


@InSteps
def deleted(
    state: State, event: lists_pb2.ListDeleted, _moment: Moment
) -> Generator[None, None, None]:
    """A list was deleted with all its items; its version stays."""
    tables = state.of(ListTables)
    tables.lists.delete(ALL, event.list_id)
    yield from tables.items.drop_in_steps(event.list_id)
    tables.deleted_versions.put(event.list_id, event.list_version)


def _put_order(
    state: State, list_id: str, order: tuple[str, ...], version: int, moment: Moment
) -> None:
    row = msgspec.structs.replace(
        require_list(state, list_id), order=order, version=version, update_time_us=moment.time_us
    )
    state.of(ListTables).lists.put(ALL, list_id, row)


def _put_version(state: State, list_id: str, version: int, moment: Moment) -> None:
    row = msgspec.structs.replace(
        require_list(state, list_id), version=version, update_time_us=moment.time_us
    )
    state.of(ListTables).lists.put(ALL, list_id, row)
