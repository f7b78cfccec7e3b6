"""Lists against a model of Python lists: whatever is tried, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gapless.v1.lists_pb2 import GetListRequest, ListPlacement
from tests.core.list_commands import (
    DECK,
    create,
    delete_item,
    delete_list,
    edit,
    insert,
    move,
    record,
    reorder,
)
from tests.core.story import Story

# Few ids and texts, so that commands meet each other.
ITEM_IDS = ["a", "b", "c", "d", "e"]
IDS = st.sampled_from(ITEM_IDS)
TEXTS = st.sampled_from(["", "1", "2"])
# A place by its field, and the item that it names, if it does.
PLACES = st.tuples(st.sampled_from(["before_item_id", "after_item_id", "at_start", "at_end"]), IDS)
STATED = st.one_of(st.none(), st.integers(1, 12))


@dataclass
class ModelItem:
    """What an item holds, the version of its content, and the results about that version."""

    content: str
    version: int
    results: dict[str, str] = field(default_factory=dict)


class ListMachine(RuleBasedStateMachine):
    """Runs commands on the kernel and on the model, and compares answers and reads.

    `order` and `items` are of one list; `version` outlives it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.exists = False
        self.version = 0
        self.order: list[str] = []
        self.items: dict[str, ModelItem] = {}

    def changes(self, command: Message) -> object:
        """Runs a command that must change the list by one version, and returns its answer."""
        self.version += 1
        answer = self.story.when(command)
        assert len(self.story.then_events()) == 1
        return answer

    def changes_nothing(self, command: Message) -> object:
        """Runs a command that must succeed without a change, and returns its answer."""
        answer = self.story.when(command)
        assert self.story.then_events() == []
        return answer

    def index_of(self, place: tuple[str, str], order: list[str]) -> int | None:
        """Returns where a place is in an order, or None if it names what is not there."""
        kind, item_id = place
        if kind == "at_start":
            return 0
        if kind == "at_end":
            return len(order)
        if item_id not in order:
            return None
        return order.index(item_id) + (kind == "after_item_id")

    @precondition(lambda self: not self.exists)
    @rule()
    def create(self) -> None:
        self.changes(create())
        self.exists = True

    @precondition(lambda self: not self.exists)
    @rule(item_id=IDS)
    def name_no_list(self, item_id: str) -> None:
        self.story.then_refused(insert(item_id), "LIST_NOT_FOUND")
        self.story.then_refused(record(item_id, 1), "LIST_NOT_FOUND")
        self.changes_nothing(delete_list())

    @precondition(lambda self: self.exists)
    @rule(stated=STATED)
    def delete(self, stated: int | None) -> None:
        if stated not in (None, self.version):
            self.story.then_refused(delete_list(stated), "LIST_VERSION_MISMATCH")
            return
        self.changes(delete_list(stated))
        self.exists = False
        self.order, self.items = [], {}

    @precondition(lambda self: self.exists)
    @rule(item_ids=st.lists(IDS, min_size=1, max_size=3, unique=True), place=PLACES)
    def insert(self, item_ids: list[str], place: tuple[str, str]) -> None:
        command = insert(*item_ids, placement=_placement(place))
        index = self.index_of(place, self.order)
        if any(item_id in self.items for item_id in item_ids):
            self.story.then_refused(command, "LIST_ITEM_ALREADY_EXISTS")
        elif index is None:
            self.story.then_refused(command, "LIST_ITEM_NOT_FOUND")
        else:
            self.changes(command)
            self.order[index:index] = item_ids
            for item_id in item_ids:
                self.items[item_id] = ModelItem(f"text of {item_id}", self.version)

    @precondition(lambda self: self.exists)
    @rule(item_id=IDS, place=PLACES)
    def move(self, item_id: str, place: tuple[str, str]) -> None:
        command = move(item_id, _placement(place))
        if place[0].endswith("_id") and place[1] == item_id:
            self.story.then_refused(command, "INVALID_FIELD")
            return
        rest = [other for other in self.order if other != item_id]
        index = self.index_of(place, rest)
        if item_id not in self.items or index is None:
            self.story.then_refused(command, "LIST_ITEM_NOT_FOUND")
            return
        moved = [*rest[:index], item_id, *rest[index:]]
        if moved == self.order:
            self.changes_nothing(command)
        else:
            self.changes(command)
        self.order = moved

    @precondition(lambda self: self.exists)
    @rule(data=st.data())
    def reorder(self, data: st.DataObject) -> None:
        order = data.draw(st.permutations(self.order))
        if order == self.order:
            self.changes_nothing(reorder(*order))
        else:
            self.changes(reorder(*order))
        self.order = list(order)

    @precondition(lambda self: self.exists)
    @rule(item_ids=st.lists(IDS, unique=True))
    def reorder_others(self, item_ids: list[str]) -> None:
        if set(item_ids) == set(self.order):
            return
        refusal = self.story.then_refused(reorder(*item_ids), "LIST_ITEMS_DIFFER")
        missing = [item_id for item_id in self.order if item_id not in item_ids]
        unknown = [item_id for item_id in item_ids if item_id not in self.order]
        assert refusal.metadata["missing"] == (", ".join(missing) or "none")
        assert refusal.metadata["unknown"] == (", ".join(unknown) or "none")

    @precondition(lambda self: self.exists)
    @rule(item_id=IDS, content=TEXTS, stated=STATED)
    def edit(self, item_id: str, content: str, stated: int | None) -> None:
        command = edit(item_id, content, stated)
        item = self.items.get(item_id)
        if item is None:
            self.story.then_refused(command, "LIST_ITEM_NOT_FOUND")
        elif stated not in (None, item.version):
            self.story.then_refused(command, "LIST_ITEM_VERSION_MISMATCH")
        elif item.content == content:
            self.changes_nothing(command)
        else:
            self.changes(command)
            self.items[item_id] = ModelItem(content, self.version)

    @precondition(lambda self: self.exists)
    @rule(item_id=IDS)
    def delete_item(self, item_id: str) -> None:
        if self.items.pop(item_id, None) is None:
            self.changes_nothing(delete_item(item_id))
            return
        self.changes(delete_item(item_id))
        self.order.remove(item_id)

    @precondition(lambda self: self.exists)
    @rule(item_id=IDS, item_version=st.integers(1, 12), key=st.sampled_from("kz"), value=TEXTS)
    def record(self, item_id: str, item_version: int, key: str, value: str) -> None:
        self._record(item_id, item_version, key, value)

    @precondition(lambda self: self.items)
    @rule(data=st.data(), key=st.sampled_from("kz"), value=TEXTS)
    def record_current(self, data: st.DataObject, key: str, value: str) -> None:
        item_id = data.draw(st.sampled_from(sorted(self.items)))
        self._record(item_id, self.items[item_id].version, key, value)

    def _record(self, item_id: str, item_version: int, key: str, value: str) -> None:
        command = record(item_id, item_version, value, key)
        item = self.items.get(item_id)
        lands = item is not None and item.version == item_version
        if item is not None and lands and item.results.get(key) != value:
            answer = self.changes(command)
            item.results[key] = value
        else:
            answer = self.changes_nothing(command)
        assert answer.landed == lands  # type: ignore[attr-defined]
        assert answer.item_version == (item.version if item else 0)  # type: ignore[attr-defined]
        assert answer.list_version == self.version  # type: ignore[attr-defined]

    @precondition(lambda self: self.exists)
    @rule(item_ids=st.lists(IDS, min_size=1, max_size=3))
    def fail_a_batch(self, item_ids: list[str]) -> None:
        self.story.undone(
            [
                *(delete_item(item_id) for item_id in item_ids),
                insert("x", *dict.fromkeys(item_ids)),
                move("x", ListPlacement(at_start=True)),
                edit("x", "new"),
                delete_list(),
                create(),
                insert(item_ids[0]),
            ]
        )

    @precondition(lambda self: self.exists)
    @rule(page_size=st.integers(1, 3))
    def read_by_page(self, page_size: int) -> None:
        request = GetListRequest(list_id=DECK, page_size=page_size)
        found = []
        while True:
            page = self.story.read(request)
            assert (page.list.version, page.list.item_count) == (self.version, len(self.order))
            found += page.items
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert [item.item_id for item in found] == self.order
        for item in found:
            known = self.items[item.item_id]
            results = {result.key: result.body.data.decode() for result in item.results}
            assert item.body.data.decode() == known.content
            assert (item.version, results) == (known.version, known.results)

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert self.story.breaches() == []

    def teardown(self) -> None:
        self.story.assert_sound()


def _placement(place: tuple[str, str]) -> ListPlacement:
    match place:
        case ("at_start", _):
            return ListPlacement(at_start=True)
        case ("at_end", _):
            return ListPlacement(at_end=True)
        case ("before_item_id", item_id):
            return ListPlacement(before_item_id=item_id)
        case (_, item_id):
            return ListPlacement(after_item_id=item_id)


TestListModel = ListMachine.TestCase
TestListModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
