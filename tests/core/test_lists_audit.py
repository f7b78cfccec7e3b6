"""Lists: the faults of a log that the audit finds."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.lists_pb2 import (
    ListCreated,
    ListDeleted,
    ListItemDeleted,
    ListItemMoved,
    ListItemResultRecorded,
    ListItemsInserted,
    ListReordered,
    NewListItem,
)
from tests.core.list_commands import (
    DECK,
)
from tests.core.story import forged

CREATED = ListCreated(list_id=DECK, list_version=1)
INSERTED = ListItemsInserted(
    list_id=DECK, items=[NewListItem(item_id="a"), NewListItem(item_id="b")], list_version=2
)
AUDITED: list[tuple[str, list[Message], str]] = [
    ("a gap in the versions", [ListCreated(list_id=DECK, list_version=2)], "version 2, expected 1"),
    (
        "a list twice",
        [CREATED, ListCreated(list_id=DECK, list_version=2)],
        "already exists at ListCreated",
    ),
    (
        "an event of no list",
        [ListDeleted(list_id=DECK, list_version=1)],
        "does not exist at ListDeleted",
    ),
    (
        "an item that is not there",
        [CREATED, ListItemDeleted(list_id=DECK, item_id="a", list_version=2)],
        "has no item a",
    ),
    (
        "a place that is not there",
        [
            CREATED,
            INSERTED,
            ListItemMoved(list_id=DECK, item_id="a", after_item_id="c", list_version=3),
        ],
        "has no item c",
    ),
    (
        "an item twice",
        [
            CREATED,
            INSERTED,
            ListItemsInserted(list_id=DECK, items=[NewListItem(item_id="a")], list_version=3),
        ],
        "has item a, which is inserted",
    ),
    (
        "e7 a reordering that loses an item",
        [CREATED, INSERTED, ListReordered(list_id=DECK, item_ids=["a"], list_version=3)],
        "has other items than its reordering",
    ),
    (
        "e6 a result about another version",
        [
            CREATED,
            INSERTED,
            ListItemResultRecorded(list_id=DECK, item_id="a", item_version=1, list_version=3),
        ],
        "about version 1 of item a, which is at version 2",
    ),
]


@pytest.mark.parametrize(
    ("events", "part"), [pytest.param(events, part, id=name) for name, events, part in AUDITED]
)
def test_verify_finds(events: list[Message], part: str) -> None:
    [breach] = forged(*events)

    assert part in breach
