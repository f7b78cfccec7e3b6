"""Row C1: amounts that many processes move at once; nothing is made, lost, or computed later."""

from __future__ import annotations

import random
from functools import partial

from gapless import Client
from gapless.errors import BalanceBelowFloor
from tests.scenarios.processes import Place, at_once

CENT = "EUR-cent"
OUTSIDE = "outside"
# Each begins with 100; none may be overdrawn.
PEOPLE = ["ann", "bob", "carol", "dave", "eve"]
TRANSFERS_EACH = 60

Balances = dict[str, int]


def open_accounts(client: Client) -> None:
    client.ledgers.create_account(OUTSIDE, CENT)
    for person in PEOPLE:
        client.ledgers.create_account(person, CENT, floor=0)
    client.ledgers.transfer({OUTSIDE: -500, **dict.fromkeys(PEOPLE, 100)})


def balances(client: Client) -> Balances:
    """Reads all balances: a state of one moment, as they fit into one page."""
    return {one.account_id: one.balance for one in client.ledgers.list_accounts()}


def move(client: Client, seed: int) -> tuple[dict[int, Balances], int]:
    """Moves amounts between people and the outside, some of them too large.

    Returns:
        The balances that each answer had, by its position, and how many were refused.
    """
    chance = random.Random(seed)
    answered: dict[int, Balances] = {}
    refused = 0
    for _ in range(TRANSFERS_EACH):
        payer, first, second = chance.sample([*PEOPLE, OUTSIDE], 3)
        amount, rest = chance.randint(1, 80), chance.randint(1, 80)
        try:
            answer = client.ledgers.transfer({payer: -amount - rest, first: amount, second: rest})
        except BalanceBelowFloor as refusal:
            assert refusal.metadata["account_id"] == payer  # noqa: PT017  (who moves knows)
            refused += 1
            continue
        answered[answer.receipt.position] = {one.account_id: one.balance for one in answer.balances}
    return answered, refused


def read_50_times(client: Client) -> list[Balances]:
    return [balances(client) for _ in range(50)]


def test_c1_every_answer_has_the_new_balances_and_their_sum_never_changes(
    place: Place, client: Client
) -> None:
    open_accounts(client)
    movers = [partial(move, seed=seed) for seed in range(5)]

    outcomes = at_once(place, [*movers, read_50_times, read_50_times])

    answered: dict[int, Balances] = {}
    for moved, refused in outcomes[:5]:
        assert len(moved) + refused == TRANSFERS_EACH
        answered.update(moved)
    # The balances after each position, worked out from nothing but the amounts in the log.
    now = dict.fromkeys([*PEOPLE, OUTSIDE], 0)
    states = [dict(now)]
    checked = 0
    for entry in client.events.read(event_types=["transfer_made"]):
        for part in entry.events[0].transfer_made.parts:
            now[part.account_id] += part.amount
            assert now[part.account_id] == part.balance
        states.append(dict(now))
        assert sum(now.values()) == 0
        assert min(now[person] for person in PEOPLE) >= 0
        if entry.position in answered:
            answer = answered[entry.position]
            assert answer == {account_id: now[account_id] for account_id in answer}
            checked += 1
    assert checked == len(answered)
    for seen in outcomes[5] + outcomes[6]:
        assert seen in states
    assert balances(client) == now


def pay_all(client: Client, payer: str) -> int:
    """Tries to pay out 10 as long as there is something; returns how often it could."""
    paid = 0
    while True:
        try:
            client.ledgers.transfer({"shared": -10, payer: 10})
        except BalanceBelowFloor:
            return paid
        paid += 1


def test_c1_what_is_there_is_paid_out_once_whoever_asks(place: Place, client: Client) -> None:
    client.ledgers.create_account(OUTSIDE, CENT)
    client.ledgers.create_account("shared", CENT, floor=0)
    payers = [f"payer-{number}" for number in range(8)]
    for payer in payers:
        client.ledgers.create_account(payer, CENT)
    client.ledgers.transfer({OUTSIDE: -1005, "shared": 1005})

    paid = at_once(place, [partial(pay_all, payer=payer) for payer in payers])

    assert sum(paid) == 100
    assert balances(client) == {
        OUTSIDE: -1005,
        "shared": 5,
        **{payer: 10 * times for payer, times in zip(payers, paid, strict=True)},
    }


def reverse_rent(client: Client) -> tuple[str, bool]:
    answer = client.ledgers.reverse("rent")
    return answer.reversal_transfer_id, answer.receipt.changed


def test_c1_a_transfer_that_many_reverse_is_reversed_once(place: Place, client: Client) -> None:
    open_accounts(client)
    client.ledgers.transfer({"ann": -40, "bob": 40}, transfer_id="rent")

    outcomes = at_once(place, [reverse_rent] * 8)

    assert len({reversal_id for reversal_id, _changed in outcomes}) == 1
    assert sorted(changed for _reversal_id, changed in outcomes) == [False] * 7 + [True]
    assert balances(client) == {OUTSIDE: -500, **dict.fromkeys(PEOPLE, 100)}


def send_again(client: Client) -> bool:
    return client.ledgers.transfer({"ann": -40, "bob": 40}, transfer_id="rent").receipt.changed


def test_c1_a_transfer_that_is_sent_by_many_under_one_id_is_made_once(
    place: Place, client: Client
) -> None:
    open_accounts(client)

    changed = at_once(place, [send_again] * 8)

    assert sorted(changed) == [False] * 7 + [True]
    assert (balances(client)["ann"], balances(client)["bob"]) == (60, 140)
