"""Part E, ordered lists: what many do to the same lists at once, named by id and never by index."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial

from gapless import Client
from gapless.errors import ListItemNotFound, ListItemVersionMismatch
from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless.v1.common_pb2 import Body
from gapless.v1.lists_pb2 import DeleteListItemRequest, InsertListItemsRequest, NewListItem
from tests.scenarios.processes import Place, at_once

DECK = "deck"

Order = tuple[str, ...]


def order_of(client: Client, list_id: str = DECK) -> Order:
    return tuple(item.item_id for item in client.lists.get(list_id).items)


def make_deck(client: Client, item_ids: Sequence[str]) -> None:
    client.lists.create(DECK)
    client.list_items.insert(DECK, {item_id: f"first text of {item_id}" for item_id in item_ids})


EDITS_EACH = 40


def rewrite(client: Client, name: str) -> int:
    """Edits the item over and over, at the version that it has seen; returns how often it could."""
    edits = 0
    for number in range(EDITS_EACH):
        version = client.list_items.get(DECK, "slide").version
        try:
            text = f"text {number} of {name}"
            client.list_items.edit(DECK, "slide", text, expected_version=version)
        except ListItemVersionMismatch:
            continue
        edits += 1
    return edits


def verify(client: Client, name: str) -> int:
    """Verifies the item over and over, against what it has read; returns how often it landed."""
    landed = 0
    for _ in range(EDITS_EACH):
        item = client.list_items.get(DECK, "slide")
        answer = client.list_items.record_result(
            DECK, "slide", item.version, f"verified by {name}", item.body
        )
        assert answer.landed == (answer.item_version == item.version)
        assert answer.receipt.changed in (answer.landed, False)
        landed += answer.receipt.changed
    return landed


def test_e6_a_verification_lands_only_on_the_text_that_it_verified(
    place: Place, client: Client
) -> None:
    make_deck(client, ["slide"])
    editors = [partial(rewrite, name=f"editor-{number}") for number in range(3)]
    verifiers = [partial(verify, name=f"verifier-{number}") for number in range(3)]

    outcomes = at_once(place, [*editors, *verifiers])

    text, version, edited, recorded = b"first text of slide", 2, 0, 0
    for entry in client.events.read():
        for event in entry.events:
            if event.HasField("list_item_edited"):
                edited += 1
                text, version = (
                    event.list_item_edited.body.data,
                    event.list_item_edited.list_version,
                )
            if event.HasField("list_item_result_recorded"):
                recorded += 1
                result = event.list_item_result_recorded
                assert (result.body.data, result.item_version) == (text, version)
    assert (edited, recorded) == (sum(outcomes[:3]), sum(outcomes[3:]))
    item = client.list_items.get(DECK, "slide")
    assert (item.body.data, item.version) == (text, version)
    assert {result.body.data for result in item.results} <= {text}
    assert client.list_items.record_result(DECK, "slide", item.version, "last", text).landed


FIVE = ("a", "b", "c", "d", "e")
REORDERS_EACH = 25


def orders_of(seed: int) -> list[Order]:
    """The orders that a process asks for."""
    chance = random.Random(seed)
    return [tuple(chance.sample(FIVE, len(FIVE))) for _ in range(REORDERS_EACH)]


def reorder(client: Client, seed: int) -> list[Order]:
    for order in orders_of(seed):
        client.lists.reorder(DECK, order)
    return []


def read_orders(client: Client) -> list[Order]:
    return [order_of(client) for _ in range(50)]


def test_e7_every_list_that_is_seen_between_reorders_is_one_that_was_asked_for(
    place: Place, client: Client
) -> None:
    make_deck(client, FIVE)
    seeds = range(8)
    asked = {FIVE, *(order for seed in seeds for order in orders_of(seed))}

    outcomes = at_once(
        place, [*(partial(reorder, seed=seed) for seed in seeds), read_orders, read_orders]
    )

    seen = [order for orders in outcomes for order in orders]
    logged = [
        tuple(event.list_reordered.item_ids)
        for entry in client.events.read(event_types=["list_reordered"])
        for event in entry.events
    ]
    assert len(seen) == 100
    assert set(seen) <= asked
    assert set(logged) <= asked
    assert order_of(client) == logged[-1]


ITEMS_EACH = 25
SEEDS = [f"seed-{number}" for number in range(20)]


def add(client: Client, name: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Inserts items after ones that others delete meanwhile.

    Returns:
        The items that it could insert; and for each other one the item that it was to stand
        after, and the one that it was told is missing.
    """
    added: list[str] = []
    refused: list[tuple[str, str]] = []
    for number in range(ITEMS_EACH):
        item_id, anchor = f"{name}-{number}", SEEDS[number % len(SEEDS)]
        try:
            client.list_items.insert(DECK, {item_id: "new"}, after=anchor)
        except ListItemNotFound as refusal:
            refused.append((anchor, refusal.metadata["item_id"]))
        else:
            added.append(item_id)
    return added, refused


def delete_seeds(client: Client) -> tuple[list[str], list[tuple[str, str]]]:
    """Deletes every item of the beginning; returns those that it took out, and no refusals."""
    taken = [
        item_id
        for item_id in reversed(SEEDS)
        if client.list_items.delete(DECK, item_id).receipt.changed
    ]
    return taken, []


def test_e8_adds_and_deletes_that_race_hit_what_they_mean_or_are_told(
    place: Place, client: Client
) -> None:
    make_deck(client, SEEDS)
    adders = [partial(add, name=f"adder-{number}") for number in range(4)]

    outcomes = at_once(place, [*adders, delete_seeds, delete_seeds, delete_seeds])

    added = [item_id for item_ids, _refused in outcomes[:4] for item_id in item_ids]
    refused = [pair for _added, pairs in outcomes[:4] for pair in pairs]
    deleted = [item_id for item_ids, _refused in outcomes[4:] for item_id in item_ids]
    assert len(added) + len(refused) == 4 * ITEMS_EACH
    assert all(named == anchor for anchor, named in refused)
    assert sorted(deleted) == sorted(SEEDS)
    assert sorted(order_of(client)) == sorted(added)


def create(client: Client, list_id: str) -> bool:
    return client.lists.create(list_id).receipt.changed


def update(client: Client, list_id: str) -> int:
    """Changes a list in every way, and returns the version that it comes to."""
    client.list_items.insert(list_id, {"a": "first", "b": "second"})
    client.list_items.move(list_id, "a", after="b")
    client.list_items.edit(list_id, "a", "changed")
    client.lists.reorder(list_id, ["a", "b"])
    return client.list_items.delete(list_id, "b").list_version


def test_e9_lists_are_created_and_updated_at_once(place: Place, client: Client) -> None:
    list_ids = [f"list-{number}" for number in range(10)]
    started = time.perf_counter()

    created = at_once(place, [partial(create, list_id=list_id) for list_id in list_ids])
    versions = at_once(place, [partial(update, list_id=list_id) for list_id in list_ids[:5]])

    assert time.perf_counter() - started < 60
    assert created == [True] * 10
    assert versions == [6] * 5
    assert [one.list_id for one in client.lists.list()] == list_ids
    assert [one.item_count for one in client.lists.list()] == [1] * 5 + [0] * 5


RING = [f"ring-{number}" for number in range(5)]
ROUNDS = 10


def carry(client: Client, token: str, start: int) -> list[int]:
    """Carries an item around a ring of lists: each time out of one and into the next in one batch.

    Returns:
        The positions of the batches.
    """
    stub = client.stub(CommandServiceStub)
    positions = []
    for number in range(ROUNDS):
        source, target = RING[(start + number) % len(RING)], RING[(start + number + 1) % len(RING)]
        out = DeleteListItemRequest(list_id=source, item_id=token, fail_if_unchanged=True)
        item = NewListItem(item_id=token, body=Body(data=b"carried"))
        into = InsertListItemsRequest(list_id=target, items=[item])
        request = ExecuteBatchRequest(
            request_id=f"{token}-{number}",
            commands=[Command(delete_list_item=out), Command(insert_list_items=into)],
        )
        answer = stub.ExecuteBatch(request, metadata=client.metadata)
        positions.append(answer.receipt.position)
    return positions


def test_e9_commands_that_each_touch_several_lists_neither_deadlock_nor_lose_anything(
    place: Place, client: Client
) -> None:
    tokens = [f"token-{number}" for number in range(len(RING))]
    for list_id, token in zip(RING, tokens, strict=True):
        client.lists.create(list_id)
        client.list_items.insert(list_id, {token: "carried"})

    positions = at_once(
        place, [partial(carry, token=token, start=start) for start, token in enumerate(tokens)]
    )

    assert sorted(position for own in positions for position in own) == list(range(11, 61))
    # Ten steps around a ring of five lists end where they began.
    assert [order_of(client, list_id) for list_id in RING] == [(token,) for token in tokens]
    assert [client.lists.get(list_id).list.version for list_id in RING] == [22] * len(RING)
    batches = [entry for entry in client.events.read() if entry.position > 10]
    assert [[event.WhichOneof("event") for event in entry.events] for entry in batches] == [
        ["list_item_deleted", "list_items_inserted"]
    ] * (len(tokens) * ROUNDS)


STREAMS = 3
CHANGES = 2 + 5 * 20


def watch_all(client: Client) -> list[tuple[int, bytes]]:
    """Watches until all that is to happen has come; returns every event with its position."""
    seen: list[tuple[int, bytes]] = []
    with client.events.watch(from_start=True) as watch:
        for item in watch:
            for event in getattr(item, "events", ()):
                seen.append((item.position, event.SerializeToString(deterministic=True)))
            if item.position >= CHANGES:
                return seen
    raise AssertionError("a watch ends only when it is closed")


def insert_each(client: Client, name: str) -> list[tuple[int, bytes]]:
    for number in range(20):
        client.list_items.insert(DECK, {f"{name}-{number}": "new"}, at_start=number % 2 == 0)
    return []


def test_e10_three_streams_at_once_see_every_event_of_a_list_in_the_same_order(
    place: Place, client: Client
) -> None:
    make_deck(client, FIVE)
    writers = [partial(insert_each, name=f"writer-{number}") for number in range(5)]

    outcomes = at_once(place, [*([watch_all] * STREAMS), *writers])

    streams = outcomes[:STREAMS]
    assert [position for position, _event in streams[0]] == list(range(1, CHANGES + 1))
    assert streams[1] == streams[0]
    assert streams[2] == streams[0]
    logged = [
        (entry.position, event.SerializeToString(deterministic=True))
        for entry in client.events.read()
        for event in entry.events
    ]
    assert logged == streams[0]
