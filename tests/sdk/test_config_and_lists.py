"""Configuration, lists and their items against the real service, once in each colour."""

from __future__ import annotations

import uuid

import pytest

from gapless import AsyncClient, errors
from gapless.testing import InProcessServer
from tests.sdk.conftest import Connect


@pytest.fixture
def client(connect: Connect, gapless_server: InProcessServer) -> AsyncClient:
    """A client in a namespace of its own."""
    return connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")


async def order_of(client: AsyncClient) -> list[str]:
    return [item.item_id for item in (await client.lists.get("deck")).items]


async def test_config_values(client: AsyncClient) -> None:
    first = await client.config.set("eu/rate", "19", expected_version=0)
    again = await client.config.set("eu/rate", "19")
    many = await client.config.set_many(
        {"eu/rate": "20", "us/rate": b"8"}, expected_versions={"us/rate": 0}
    )

    assert [(one.version, one.changed) for one in first.results] == [(1, True)]
    assert (again.results[0].version, again.receipt.changed) == (1, False)
    assert [(one.key, one.version) for one in many.results] == [("eu/rate", 2), ("us/rate", 1)]
    value = await client.config.get("eu/rate")
    assert (value.body.data, value.body.content_type) == (b"20", "text/plain; charset=utf-8")
    assert [value.key async for value in client.config.list(page_size=1)] == ["eu/rate", "us/rate"]
    assert [value.key async for value in client.config.list("us/")] == ["us/rate"]
    with pytest.raises(errors.ConfigVersionMismatch) as raised:
        await client.config.set("eu/rate", "21", expected_version=1)
    assert raised.value.metadata["version"] == "2"


async def test_config_deletions_and_history(client: AsyncClient) -> None:
    await client.config.set("rate", "19")
    deleted = await client.config.delete("rate", expected_version=1)
    again = await client.config.delete("rate")

    assert (deleted.version, deleted.receipt.changed) == (2, True)
    assert (again.version, again.receipt.changed) == (2, False)
    changes = [change async for change in client.config.history("rate", page_size=1)]
    assert [(change.version, change.body.data) for change in changes] == [(2, b""), (1, b"19")]
    with pytest.raises(errors.ConfigNotFound):
        await client.config.get("rate")
    with pytest.raises(errors.ConfigNotFound):
        await client.config.delete("rate", fail_if_unchanged=True)


async def test_config_can_be_watched_and_read_by_prefix(client: AsyncClient) -> None:
    await client.config.set_many({"eu/rate": "19", "us/rate": "8"})
    await client.config.delete("eu/rate")
    await client.lists.create("deck")

    read = [
        (entry.position, event.WhichOneof("event"))
        async for entry in client.events.read(config_key_prefixes=["eu/"])
        for event in entry.events
    ]

    assert read == [(1, "config_set"), (2, "config_deleted")]
    async with client.events.watch(from_start=True, config_key_prefixes=["us/"]) as watch:
        first = await anext(watch)
        assert first.position == 1
        assert (await anext(watch)).position == 3  # what is caught up with


async def test_a_version_of_a_key_that_is_not_written_is_refused_before_it_is_sent(
    client: AsyncClient,
) -> None:
    with pytest.raises(ValueError, match="expected_versions has 'b'"):
        await client.config.set_many({"a": "1"}, expected_versions={"a": 0, "b": 1})


async def test_lists(client: AsyncClient) -> None:
    created = await client.lists.create("deck", fail_if_unchanged=True)
    again = await client.lists.create("deck")
    made = await client.lists.create()
    await client.list_items.insert("deck", {"a": "A", "b": "B"})
    reordered = await client.lists.reorder("deck", ["b", "a"])

    assert (created.list.version, created.receipt.changed) == (1, True)
    assert (again.list.version, again.receipt.changed) == (1, False)
    listed = [one.list_id async for one in client.lists.list(page_size=1)]
    assert listed == sorted(["deck", made.list.list_id])
    assert (reordered.list_version, await order_of(client)) == (3, ["b", "a"])
    with pytest.raises(errors.ListItemsDiffer) as raised:
        await client.lists.reorder("deck", ["a", "x"])
    assert (raised.value.metadata["missing"], raised.value.metadata["unknown"]) == ("b", "x")
    with pytest.raises(errors.ListVersionMismatch):
        await client.lists.delete("deck", expected_version=1)
    assert (await client.lists.delete("deck", expected_version=3)).version == 4
    with pytest.raises(errors.ListNotFound):
        await client.lists.get("deck")


async def test_list_items(client: AsyncClient) -> None:
    await client.lists.create("deck")
    await client.list_items.insert("deck", {"a": "A", "b": "B"})
    [first] = (await client.list_items.insert("deck", ["first"], at_start=True)).item_ids
    await client.list_items.insert("deck", {"x": "X"}, before="b")
    await client.list_items.insert("deck", {"y": "Y"}, after="x")
    await client.list_items.move("deck", "a", at_end=True)
    moved = await client.list_items.move("deck", "y", before="x")
    deleted = await client.list_items.delete("deck", first)

    assert await order_of(client) == ["y", "x", "b", "a"]
    assert (moved.list_version, deleted.list_version) == (7, 8)
    edited = await client.list_items.edit("deck", "a", "better", expected_version=2)
    assert (edited.version, edited.list_version) == (9, 9)
    late = await client.list_items.record_result("deck", "a", 2, "spelling", "ok")
    in_time = await client.list_items.record_result("deck", "a", 9, "spelling", "ok")
    assert (late.landed, late.item_version, late.receipt.changed) == (False, 9, False)
    assert (in_time.landed, in_time.receipt.changed) == (True, True)
    item = await client.list_items.get("deck", "a")
    assert [(result.key, result.body.data) for result in item.results] == [("spelling", b"ok")]
    with pytest.raises(errors.ListItemVersionMismatch):
        await client.list_items.edit("deck", "a", "again", expected_version=2)
    with pytest.raises(errors.ListItemNotFound):
        await client.list_items.delete("deck", first, fail_if_unchanged=True)
    with pytest.raises(errors.InvalidField, match="found before_item_id and at_end"):
        await client.list_items.move("deck", "a", before="b", at_end=True)
    with pytest.raises(errors.InvalidField, match="found none"):
        await client.list_items.insert("deck", ["nowhere"], before="")


async def test_a_single_text_where_items_are_meant_is_refused_before_it_is_sent(
    client: AsyncClient,
) -> None:
    with pytest.raises(TypeError, match="items is a single str"):
        await client.list_items.insert("deck", "one")


async def test_a_list_of_10000_items_is_read_whole_and_takes_no_more(client: AsyncClient) -> None:
    item_ids = [f"item-{number}" for number in range(10_000)]
    await client.lists.create("deck")
    with pytest.raises(errors.InvalidField, match="items: must have at most 10000 items"):
        await client.list_items.insert("deck", dict.fromkeys([*item_ids, "x"], "text"))
    await client.list_items.insert("deck", dict.fromkeys(item_ids, "text"))

    whole = await client.lists.get("deck")

    assert (whole.list.item_count, whole.next_page_token) == (10_000, "")
    assert [item.item_id for item in whole.items] == item_ids
    with pytest.raises(errors.ListFull):
        await client.list_items.insert("deck", ["one more"])
    await client.lists.reorder("deck", item_ids[::-1])
    assert await order_of(client) == item_ids[::-1]
