"""Places in a list: from what a caller says to the item that the placed ones stand after.

Events name a place in this one form only: the id of the item before it, empty for the start.
"""

from __future__ import annotations

from collections.abc import Sequence

from gapless.v1 import lists_pb2
from gapless_server.core.kinds.lists.tables import require_item
from gapless_server.core.refusals import invalid_field
from gapless_server.core.state import State

AT_START = ""

_CHOICES = ("before_item_id", "after_item_id", "at_start", "at_end")


def require_one_place(placement: lists_pb2.ListPlacement) -> None:
    """Raises Refused, reason INVALID_FIELD, if a placement does not say exactly one place."""
    chosen = [name for name in _CHOICES if getattr(placement, name)]
    if len(chosen) != 1:
        found = " and ".join(chosen) or "none"
        raise invalid_field(
            "placement", f"must have exactly one of {', '.join(_CHOICES)}, found {found}"
        )


def last_of(order: Sequence[str]) -> str:
    """Returns the item that a new last one would stand after."""
    return order[-1] if order else AT_START


def item_before(order: Sequence[str], item_id: str) -> str:
    """Returns the item that an item of the list stands after."""
    index = order.index(item_id)
    return order[index - 1] if index else AT_START


def anchor_of(
    state: State, list_id: str, order: Sequence[str], placement: lists_pb2.ListPlacement
) -> str:
    """Returns the item that whatever is placed in `order` stands after.

    `order` is that of the list, without an item that is being moved. Raises Refused, reason
    LIST_ITEM_NOT_FOUND, if the placement names an item that is not in the list.
    """
    if placement.at_start:
        return AT_START
    if placement.at_end:
        return last_of(order)
    if placement.after_item_id:
        require_item(state, list_id, placement.after_item_id)
        return placement.after_item_id
    require_item(state, list_id, placement.before_item_id)
    return item_before(order, placement.before_item_id)


def placed(order: tuple[str, ...], item_ids: Sequence[str], anchor: str) -> tuple[str, ...]:
    """Returns an order with items put in after the item `anchor`."""
    if anchor == AT_START:
        index = 0
    elif order[-1] == anchor:  # the usual place, found without a search
        index = len(order)
    else:
        index = order.index(anchor) + 1
    return (*order[:index], *item_ids, *order[index:])


def without(order: tuple[str, ...], item_id: str) -> tuple[str, ...]:
    """Returns an order without one of its items."""
    index = order.index(item_id)
    return order[:index] + order[index + 1 :]
