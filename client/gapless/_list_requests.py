"""Items and places of lists from what callers have at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gapless._bodies import BodyLike, fill_body
from gapless.v1.lists_pb2 import ListPlacement, NewListItem


def new_items(items: Mapping[str, BodyLike] | Sequence[BodyLike]) -> list[NewListItem]:
    """The items to insert: with the ids of a mapping, or with ids that the service makes.

    Raises:
        TypeError: a single body was given where several are meant.
    """
    if isinstance(items, str | bytes):
        raise TypeError(
            f"items is a single {type(items).__name__}; expected a list of bodies, or a mapping of"
            " item ids to bodies"
        )
    named = items.items() if isinstance(items, Mapping) else (("", body) for body in items)
    made = []
    for item_id, body in named:
        item = NewListItem(item_id=item_id)
        fill_body(item.body, body)
        made.append(item)
    return made


def placement(
    before: str | None, after: str | None, *, at_start: bool, at_end: bool
) -> ListPlacement | None:
    """Where to put items; None if nothing is said. That it is one place is the service's to say."""
    if before is None and after is None and not (at_start or at_end):
        return None
    return ListPlacement(
        before_item_id=before or "", after_item_id=after or "", at_start=at_start, at_end=at_end
    )
