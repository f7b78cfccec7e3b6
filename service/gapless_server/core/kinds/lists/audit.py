"""Recounts lists from the events alone: versions without a gap, and only items that are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from google.protobuf.message import Message

from gapless.v1 import lists_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


@dataclass(slots=True)
class _Recount:
    """What the events so far say of one list id."""

    exists: bool = False
    version: int = 0
    item_versions: dict[str, int] = field(default_factory=dict)


class _Where(NamedTuple):
    """What is being recounted: an event of a list at a moment."""

    moment: Moment
    list_id: str


class ListAuditor(Auditor):
    """Holds what every reader of a list relies on.

    1. Every event of a list adds 1 to its version, across its deletion too.
    2. An event of a list is about one that exists, and names items that are in it; an inserted
       item was not.
    3. A reordering has every item of the list, each once.
    4. A result stands on the version that its item is at (E6).
    """

    def __init__(self) -> None:
        super().__init__()
        self._lists: dict[str, _Recount] = {}
        self._checks: dict[type[Message], Callable[[Any, _Recount, _Where], None]] = {
            lists_pb2.ListCreated: self._created,
            lists_pb2.ListItemsInserted: self._items_inserted,
            lists_pb2.ListItemEdited: self._item_edited,
            lists_pb2.ListItemMoved: self._item_moved,
            lists_pb2.ListReordered: self._reordered,
            lists_pb2.ListItemDeleted: self._item_deleted,
            lists_pb2.ListItemResultRecorded: self._item_result_recorded,
            lists_pb2.ListDeleted: self._deleted,
        }

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log; those of other kinds do not matter here."""
        check = self._checks.get(type(event))
        if check is None:
            return
        recount = self._lists.setdefault(event.list_id, _Recount())  # type: ignore[attr-defined]
        where = _Where(moment, event.list_id)  # type: ignore[attr-defined]
        expected = recount.version + 1
        version = event.list_version  # type: ignore[attr-defined]
        if version != expected:
            self._breach(where, f"has version {version}, expected {expected}")
        recount.version = version
        if recount.exists == isinstance(event, lists_pb2.ListCreated):
            self._breach(where, f"{_being(recount)} at {type(event).__name__}")
        check(event, recount, where)

    def _breach(self, where: _Where, what: str) -> None:
        self.breach(where.moment, f"list {where.list_id} {what}")

    def _require_items(self, recount: _Recount, where: _Where, *item_ids: str) -> None:
        for item_id in item_ids:
            if item_id not in recount.item_versions:
                self._breach(where, f"has no item {item_id}, which is named")

    def _created(self, _event: Message, recount: _Recount, _where: _Where) -> None:
        recount.exists = True
        recount.item_versions.clear()

    def _items_inserted(
        self, event: lists_pb2.ListItemsInserted, recount: _Recount, where: _Where
    ) -> None:
        if event.after_item_id:
            self._require_items(recount, where, event.after_item_id)
        for item in event.items:
            if item.item_id in recount.item_versions:
                self._breach(where, f"has item {item.item_id}, which is inserted")
            recount.item_versions[item.item_id] = event.list_version

    def _item_edited(
        self, event: lists_pb2.ListItemEdited, recount: _Recount, where: _Where
    ) -> None:
        self._require_items(recount, where, event.item_id)
        recount.item_versions[event.item_id] = event.list_version

    def _item_moved(self, event: lists_pb2.ListItemMoved, recount: _Recount, where: _Where) -> None:
        self._require_items(recount, where, event.item_id)
        if event.after_item_id:
            self._require_items(recount, where, event.after_item_id)

    def _reordered(self, event: lists_pb2.ListReordered, recount: _Recount, where: _Where) -> None:
        if sorted(event.item_ids) != sorted(recount.item_versions):
            self._breach(where, "has other items than its reordering")

    def _item_deleted(
        self, event: lists_pb2.ListItemDeleted, recount: _Recount, where: _Where
    ) -> None:
        self._require_items(recount, where, event.item_id)
        recount.item_versions.pop(event.item_id, None)

    def _item_result_recorded(
        self, event: lists_pb2.ListItemResultRecorded, recount: _Recount, where: _Where
    ) -> None:
        self._require_items(recount, where, event.item_id)
        version = recount.item_versions.get(event.item_id)
        if version is not None and version != event.item_version:
            self._breach(
                where,
                f"gets a result about version {event.item_version} of item {event.item_id},"
                f" which is at version {version}",
            )

    def _deleted(self, _event: Message, recount: _Recount, _where: _Where) -> None:
        recount.exists = False
        recount.item_versions.clear()


def _being(recount: _Recount) -> str:
    return "already exists" if recount.exists else "does not exist"
