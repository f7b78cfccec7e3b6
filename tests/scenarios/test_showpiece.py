"""Everything at once: a message, a number, an amount and a key in one batch, only under a lock.

Eight processes do so in turn. One more has lost its lock and tries the same all the while.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from gapless import Client, GuardLike, guards
from gapless.errors import GuardFailed
from tests.scenarios.processes import Place, at_once

PROCESSES = 8
TURNS_EACH = 12
LOCK = "till"


class Sale(NamedTuple):
    """What one batch was given of each kind, and where."""

    position: int
    sequence: int
    number: int
    balance: int
    version: int


def sell(client: Client, name: str, guard: GuardLike) -> Sale:
    """Sells one thing: says so, numbers the invoice, books it, and notes who was last."""
    with client.batch(guards=[guard]) as batch:
        posted = batch.messages.post("sales", name, f"sold by {name}")
        invoice = batch.reservations.reserve("invoices", name, name)
        booked = batch.ledgers.transfer({"goods": -5, "cash": 5})
        written = batch.config.set("last", name)
    return Sale(
        posted.receipt.position,
        posted.sequence,
        invoice.number,
        booked.balances[1].balance,
        written.results[0].version,
    )


def sell_in_turn(client: Client, name: str) -> list[Sale]:
    sales = []
    for turn in range(TURNS_EACH):
        with client.locks.hold(LOCK, holder_id=name, ttl=30, wait=60) as lock:
            sales.append(sell(client, f"{name}-{turn}", lock))
    return sales


def sell_with_a_lost_lock(client: Client, token: int) -> list[str]:
    """Tries on and on with a token that is stale; returns why it was refused each time."""
    found = []
    for attempt in range(40):
        try:
            sell(client, f"ghost-{attempt}", guards.lock(LOCK, token))
        except GuardFailed as refusal:
            found.append(refusal.metadata["guard_type"])
        else:
            found.append("sold")
    return found


def test_g5_what_is_done_under_a_lock_is_done_whole_in_order_and_by_its_holder_alone(
    place: Place, client: Client
) -> None:
    client.channels.create("sales")
    client.pools.create("invoices", [range(1, 10_000)], gap_free=True)
    client.ledgers.create_account("goods", "cent")
    client.ledgers.create_account("cash", "cent", floor=0)
    # A holder who went silent, and whose time is over.
    stale = client.locks.acquire(LOCK, "ghost", ttl=1).lock.fencing_token
    heir = client.locks.acquire(LOCK, "heir", wait=30).lock.fencing_token
    client.locks.release(LOCK, heir)

    *outcomes, ghost = at_once(
        place,
        [
            *(partial(sell_in_turn, name=f"till-{number}") for number in range(PROCESSES)),
            partial(sell_with_a_lost_lock, token=stale),
        ],
    )

    sales = sorted(sale for outcome in outcomes for sale in outcome)
    total = PROCESSES * TURNS_EACH
    assert [sale[1:] for sale in sales] == [(n, n, 5 * n, n) for n in range(1, total + 1)]
    assert ghost == ["lock"] * 40
    assert client.channels.get("sales").head_sequence == total
    assert client.pools.get("invoices").last_number == total
    assert client.ledgers.get_account("cash").balance == 5 * total
    assert client.ledgers.get_account("goods").balance == -5 * total
    assert client.config.get("last").version == total
    # No number was skipped, nothing is half done: each sale is one entry with its four events.
    by_position = {entry.position: entry for entry in client.events.read()}
    assert [len(by_position[sale.position].events) for sale in sales] == [4] * total
    tokens = [
        event.lock_acquired.fencing_token
        for entry in by_position.values()
        for event in entry.events
        if event.HasField("lock_acquired")
    ]
    assert tokens == sorted(set(tokens))
