"""Row C2: batches over several kinds of thing, from many processes, some of which are refused.

Every batch that succeeds takes the next number of everything it touches, so that the numbers of
one batch are all the same; one that is refused takes none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest

from gapless import Batch, Client, Receipt
from gapless.errors import ChannelNotFound, GaplessError
from tests.scenarios.processes import Place, at_once

BANK, PURSE = "bank", "purse"
EACH = 25


class Numbers(NamedTuple):
    """What one batch was given, or the counts of what there is."""

    sequence: int
    number: int
    version: int
    balance: int


def set_up(client: Client) -> None:
    client.channels.create("general")
    client.channels.create("closed")
    client.channels.archive("closed")
    client.pools.create("invoices", [range(1, 1_000_000)], gap_free=True)
    client.ledgers.create_account(BANK, "point")
    client.ledgers.create_account(PURSE, "point", floor=0)
    client.locks.acquire("held", "somebody", ttl=3600)
    client.lists.create("deck")


def take_numbers(client: Client, name: str, fail: Callable[[Batch], object] | None) -> Numbers:
    """Runs a batch that takes a number of each kind; `fail` adds a command that is refused."""
    with client.batch() as batch:
        posted = batch.messages.post("general", name, f"from {name}")
        reserved = batch.reservations.reserve("invoices", name, name)
        moved = batch.ledgers.transfer({BANK: -1, PURSE: 1})
        if fail is not None:
            fail(batch)
        written = batch.config.set("last", name)
    receipts = {
        response.receipt.SerializeToString() for response in (posted, reserved, moved, written)
    }
    assert receipts == {_of(batch).SerializeToString()}
    purse = moved.balances[1].balance
    return Numbers(posted.sequence, reserved.number, written.results[0].version, purse)


def _of(batch: Batch) -> Receipt:
    assert batch.receipt is not None
    return batch.receipt


# A command of each kind that is refused, by the reason.
REFUSED: dict[str, Callable[[Batch], object]] = {
    "CHANNEL_ARCHIVED": lambda batch: batch.messages.post("closed", "ann", "too late"),
    "POOL_NOT_FOUND": lambda batch: batch.reservations.reserve("nothing", "ann", "ann"),
    "BALANCE_BELOW_FLOOR": lambda batch: batch.ledgers.transfer({PURSE: -(10**9), BANK: 10**9}),
    "CONFIG_VERSION_MISMATCH": lambda batch: batch.config.set("other", "x", expected_version=99),
    "LOCK_HELD": lambda batch: batch.locks.acquire("held", "ann"),
    "LIST_ITEM_NOT_FOUND": lambda batch: batch.list_items.edit("deck", "nothing", "x"),
}


def present(client: Client) -> Numbers:
    """Reads how far everything has come."""
    config = list(client.config.list())
    balances = {one.account_id: one.balance for one in client.ledgers.list_accounts()}
    assert balances[BANK] == -balances[PURSE]
    pool = client.pools.get("invoices")
    return Numbers(
        client.channels.get("general").head_sequence,
        pool.last_number,
        config[0].version if config else 0,
        balances[PURSE],
    )


@pytest.mark.parametrize("reason", REFUSED)
def test_c2_a_refused_batch_names_its_member_and_leaves_nothing(
    client: Client, reason: str
) -> None:
    set_up(client)
    assert take_numbers(client, "first", None) == Numbers(1, 1, 1, 1)
    head = client.operations.get_namespace().head_position

    with pytest.raises(GaplessError) as caught:
        take_numbers(client, "second", REFUSED[reason])

    assert caught.value.reason == reason
    assert caught.value.batch_index == 3
    assert caught.value.metadata["batch_not_tried"] == "1"
    assert "commands[3]." in caught.value.message
    assert client.operations.get_namespace().head_position == head
    assert present(client) == Numbers(1, 1, 1, 1)
    assert take_numbers(client, "third", None) == Numbers(2, 2, 2, 2)


def mixed(client: Client, name: str) -> list[Numbers]:
    """Runs batches of which every second one is refused; returns what the others got."""
    taken: list[Numbers] = []
    reasons = list(REFUSED)
    for number in range(EACH):
        taken.append(take_numbers(client, f"{name}-{number}", None))
        reason = reasons[number % len(reasons)]
        try:
            take_numbers(client, f"{name}-{number}-refused", REFUSED[reason])
        except GaplessError as refusal:
            if refusal.reason != reason or refusal.batch_index != 3:
                raise
    return taken


def watch_all(client: Client, batches: int) -> list[int]:
    """Returns how many events each entry of a batch shows to a reader beside the writers."""
    counts: list[int] = []
    wanted = ["message_posted", "numbers_reserved", "transfer_made", "config_set"]
    with client.events.watch(from_start=True, event_types=wanted) as watch:
        for item in watch:
            events = getattr(item, "events", None)
            if events:
                counts.append(len(events))
            if len(counts) == batches:
                return counts
    raise AssertionError("the watch ended")


def test_c2_batches_of_many_processes_take_numbers_only_where_they_succeed(
    place: Place, client: Client
) -> None:
    set_up(client)
    writers = [partial(mixed, name=f"process-{number}") for number in range(6)]
    batches = EACH * len(writers)

    *outcomes, counts = at_once(place, [*writers, partial(watch_all, batches=batches)])

    taken = sorted(numbers for outcome in outcomes for numbers in outcome)
    assert taken == [Numbers(n, n, n, n) for n in range(1, batches + 1)]
    assert present(client) == Numbers(batches, batches, batches, batches)
    # Whole entries, never a part of one.
    assert counts == [4] * batches
    assert client.pools.check("invoices").ok


def test_g3_a_batch_that_is_sent_many_times_at_once_is_one(place: Place, client: Client) -> None:
    set_up(client)

    outcomes = at_once(place, [send_the_same] * 10)

    assert {numbers for numbers, _replayed in outcomes} == {Numbers(1, 1, 1, 1)}
    assert sorted(replayed for _numbers, replayed in outcomes) == [False] + [True] * 9
    assert present(client) == Numbers(1, 1, 1, 1)


def send_the_same(client: Client) -> tuple[Numbers, bool]:
    with client.batch(request_id="once") as batch:
        posted = batch.messages.post("general", "ann", "hello")
        reserved = batch.reservations.reserve("invoices", "ann", "ann")
        moved = batch.ledgers.transfer({BANK: -1, PURSE: 1}, transfer_id="once")
        written = batch.config.set("last", "ann")
    numbers = Numbers(
        posted.sequence, reserved.number, written.results[0].version, moved.balances[1].balance
    )
    return numbers, _of(batch).replayed


def test_c2_what_is_refused_may_succeed_later_with_the_same_request_id(client: Client) -> None:
    """A refused batch is not remembered."""
    for expected in (ChannelNotFound, None):
        try:
            with client.batch(request_id="again") as batch:
                batch.config.set("last", "ann")
                posted = batch.messages.post("general", "ann", "hello")
        except ChannelNotFound as refusal:
            assert expected is type(refusal)  # noqa: PT017  (the second time it must not come)
            client.channels.create("general")
            continue
        assert expected is None
        assert posted.sequence == 1
