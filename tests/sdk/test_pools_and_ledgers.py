"""Pools, reservations and ledgers against the real service, once in each colour."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from gapless import (
    AsyncClient,
    NumberRange,
    NumberStatus,
    ReleaseCause,
    ReservationShape,
    errors,
)
from gapless.testing import InProcessServer
from tests.sdk.conftest import Connect


@pytest.fixture
def client(connect: Connect, gapless_server: InProcessServer) -> AsyncClient:
    """A client in a namespace of its own."""
    return connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")


async def test_pools(client: AsyncClient) -> None:
    created = await client.pools.create(
        "ports", [range(8000, 8100), 9000], exclusions=[8080], preferred_numbers=[9000]
    )
    again = await client.pools.create(
        "ports", created.pool.ranges, exclusions=[range(8080, 8081)], preferred_numbers=[9000]
    )
    await client.pools.create("seats", [range(2**63)])
    held = await client.reservations.reserve("ports", "web", "http")
    updated = await client.pools.update("ports", ranges=[range(8000, 8010)], preferred_numbers=[])

    assert list(created.pool.ranges) == [
        NumberRange(first=8000, last=8099),
        NumberRange(first=9000, last=9000),
    ]
    assert (created.pool.size, again.receipt.changed) == (100, False)
    assert held.number == 9000
    assert (updated.pool.size, updated.pool.outside_count) == (10, 1)
    assert await client.pools.get("ports") == updated.pool
    pools = [pool async for pool in client.pools.list(page_size=1)]
    assert [(pool.pool_id, pool.size) for pool in pools] == [("ports", 10), ("seats", 2**63)]
    checked = await client.pools.check("ports")
    assert (checked.ok, list(checked.outside_numbers)) == (True, [9000])
    with pytest.raises(errors.PoolAlreadyExists):
        await client.pools.create("ports", [1])
    with pytest.raises(errors.InvalidField) as raised:
        await client.pools.create("more", [range(5, 10), 7])
    assert raised.value.metadata["field"] == "ranges[1]"
    with pytest.raises(errors.InvalidField):
        await client.pools.update("ports")
    with pytest.raises(ValueError, match="at least one number and a step of 1"):
        await client.pools.create("none", [range(5, 5)])


@pytest.mark.parametrize("wrong", ["80-90", 1.0, (1, 5)])
async def test_what_is_no_number_and_no_range_is_named(client: AsyncClient, wrong: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"ranges has {wrong!r}; expected numbers")):
        await client.pools.create("ports", [80, wrong])
    with pytest.raises(TypeError, match=re.escape(f"exclusions has {wrong!r}; expected numbers")):
        await client.pools.update("ports", exclusions=[wrong])


async def test_reservations(client: AsyncClient) -> None:
    await client.pools.create("ports", [range(1, 11)])
    first = await client.reservations.reserve("ports", "web", "http", ttl_seconds=3600)
    again = await client.reservations.reserve("ports", "web", "http")
    chosen = await client.reservations.reserve("ports", "web", "https", preferred_number=7)
    group = await client.reservations.reserve_group("ports", "db", "shards", 3, contiguous=True)
    at_offsets = await client.reservations.reserve_group("ports", "db", "pair", offsets=[0, 2])

    assert (first.number, again.number, again.already_held) == (1, 1, True)
    assert chosen.number == 7
    assert (list(group.numbers), list(at_offsets.numbers), at_offsets.base) == (
        [8, 9, 10],
        [2, 4],
        2,
    )
    renewed = await client.reservations.renew("ports", "web", "http", ttl_seconds=7200)
    assert renewed.reservation.expire_time.seconds > first.expire_time.seconds
    confirmed = await client.reservations.confirm("ports", "web", "http")
    assert not confirmed.reservation.HasField("expire_time")
    assert await client.reservations.get("ports", "web", "http") == confirmed.reservation
    found = await client.reservations.number("ports", 4)
    assert found.status == NumberStatus.NUMBER_STATUS_HELD
    assert found.reservation.shape == ReservationShape.RESERVATION_SHAPE_OFFSETS
    listed = [one async for one in client.reservations.list("ports", page_size=1)]
    assert [one.key for one in listed] == ["pair", "shards", "http", "https"]
    of_web = [one.key async for one in client.reservations.list("ports", owner_id="web")]
    assert of_web == ["http", "https"]
    with pytest.raises(errors.PoolExhausted) as raised:
        await client.reservations.reserve_group("ports", "x", "many", 4)
    assert raised.value.metadata["size"] == "10"
    with pytest.raises(errors.PoolFragmented):
        await client.reservations.reserve_group("ports", "x", "many", 3, contiguous=True)
    with pytest.raises(errors.NumberNotAvailable):
        await client.reservations.reserve(
            "ports", "x", "y", preferred_number=7, only_preferred=True
        )
    with pytest.raises(errors.ReservationDiffers):
        await client.reservations.reserve("ports", "db", "pair")


async def test_releases_and_clean_up(client: AsyncClient) -> None:
    await client.pools.create("ports", [range(1, 11)])
    await client.reservations.reserve_group("ports", "db", "shards", 3)
    await client.reservations.reserve("ports", "gone", "old")
    spared = await client.reservations.reserve("ports", "gone", "new")
    await client.reservations.reserve("ports", "web", "http")

    released = await client.reservations.release("ports", "db", "shards")
    nothing = await client.reservations.release("ports", "db", "shards")
    before_spared = spared.receipt.position - 1
    previewed = [
        one
        async for one in client.pools.preview_clean_up(
            "ports", gone_owner_ids=["gone"], gone_position_max=before_spared
        )
    ]
    cleaned = await client.pools.clean_up(
        "ports", gone_owner_ids=["gone"], gone_position_max=before_spared
    )
    owner = await client.reservations.release_owner("ports", "web")

    assert (list(released.numbers), nothing.receipt.changed) == ([1, 2, 3], False)
    assert previewed == list(cleaned.released)
    assert [(one.key, one.cause) for one in cleaned.released] == [
        ("old", ReleaseCause.RELEASE_CAUSE_OWNER_GONE)
    ]
    assert (len(owner.released), owner.remaining_count) == (1, 0)
    with pytest.raises(errors.ReservationNotFound):
        await client.reservations.release("ports", "db", "shards", fail_if_unchanged=True)
    with pytest.raises(errors.OwnerHoldsNothing):
        await client.reservations.release_owner("ports", "web", fail_if_unchanged=True)


async def test_gap_free_pools(client: AsyncClient) -> None:
    await client.pools.create("invoices", [range(1, 10**9)], gap_free=True)
    first = await client.reservations.reserve("invoices", "shop", "order-1")
    await client.reservations.release("invoices", "shop", "order-1")
    second = await client.reservations.reserve("invoices", "shop", "order-2")

    assert (first.number, second.number) == (1, 2)
    void = [one async for one in client.reservations.list_void("invoices")]
    assert [(one.number, one.key) for one in void] == [(1, "order-1")]


async def test_ledgers(client: AsyncClient) -> None:
    await client.ledgers.create_account("outside", "EUR-cent")
    created = await client.ledgers.create_account("ann", "EUR-cent", floor=0)
    await client.ledgers.create_account("bob", "EUR-cent", floor=0)
    await client.ledgers.transfer({"outside": -100, "ann": 100})
    paid = await client.ledgers.transfer(
        {"ann": -30, "bob": 30}, transfer_id="rent", attributes={"month": "5"}
    )
    again = await client.ledgers.transfer(
        {"ann": -30, "bob": 30}, transfer_id="rent", attributes={"month": "5"}
    )

    assert (created.account.balance, created.account.floor) == (0, 0)
    assert [(one.account_id, one.balance) for one in paid.balances] == [("ann", 70), ("bob", 30)]
    assert again.receipt.changed is False
    record = await client.ledgers.get_transfer("rent")
    assert [(leg.account_id, leg.amount) for leg in record.legs] == [("ann", -30), ("bob", 30)]
    with pytest.raises(errors.BalanceBelowFloor) as raised:
        await client.ledgers.transfer({"ann": -71, "bob": 71})
    assert raised.value.metadata["account_id"] == "ann"
    with pytest.raises(errors.TransferUnbalanced):
        await client.ledgers.transfer({"ann": -1, "bob": 2})
    with pytest.raises(errors.TransferAlreadyExists):
        await client.ledgers.transfer({"ann": -1, "bob": 1}, transfer_id="rent")
    reversed_ = await client.ledgers.reverse("rent", reversal_transfer_id="back")
    assert reversed_.reversal_transfer_id == "back"
    with pytest.raises(errors.TransferAlreadyReversed):
        await client.ledgers.reverse("rent", fail_if_unchanged=True)
    with pytest.raises(errors.TransferIsReversal):
        await client.ledgers.reverse("back")
    accounts = [account async for account in client.ledgers.list_accounts(page_size=1)]
    assert [(one.account_id, one.balance) for one in accounts] == [
        ("ann", 100),
        ("bob", 0),
        ("outside", -100),
    ]
    assert await client.ledgers.get_account("ann") == accounts[0]
    up = [one.amount async for one in client.ledgers.history("ann", page_size=1)]
    down = [
        one.sequence
        async for one in client.ledgers.history("ann", descending=True, start_sequence=2)
    ]
    assert (up, down) == ([100, -30, 30], [2, 1])
