"""Ledgers: the faults of a log that the audit finds, each said with its place."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.ledgers_pb2 import (
    AccountCreated,
    TransferMade,
    TransferPart,
)
from tests.core.ledger_commands import (
    ANN,
    BOB,
    CENT,
)
from tests.core.story import forged


def made(transfer_id: str, *parts: tuple[str, int, int, int], reverses: str = "") -> TransferMade:
    return TransferMade(
        transfer_id=transfer_id,
        parts=[
            TransferPart(account_id=account_id, amount=amount, balance=balance, sequence=sequence)
            for account_id, amount, balance, sequence in parts
        ],
        reverses_transfer_id=reverses,
    )


ANN_CREATED = AccountCreated(account_id=ANN, unit=CENT, floor=0)
BOB_CREATED = AccountCreated(account_id=BOB, unit=CENT)
PAID = made("t", (BOB, -5, -5, 1), (ANN, 5, 5, 1))
PAID_BACK = made("r", (BOB, 5, 0, 2), (ANN, -5, 0, 2), reverses="t")


@pytest.mark.parametrize(
    ("events", "breach"),
    [
        ([ANN_CREATED, ANN_CREATED], "account ann is created again"),
        ([ANN_CREATED, made("t", (ANN, 5, 5, 1))], "transfer t sums to 5 in EUR-cent, not to 0"),
        (
            [ANN_CREATED, BOB_CREATED, made("t", (BOB, -5, -5, 1), (ANN, 5, 6, 1))],
            "account ann is said to have 6, its changes sum to 5",
        ),
        (
            [ANN_CREATED, BOB_CREATED, made("t", (BOB, -5, -5, 1), (ANN, 5, 5, 2))],
            "account ann: sequence 2 follows 0",
        ),
        (
            [ANN_CREATED, BOB_CREATED, made("t", (BOB, 5, 5, 1), (ANN, -5, -5, 1))],
            "account ann has -5, below its floor of 0",
        ),
        (
            [BOB_CREATED, made("t", (BOB, 0, 0, 1), ("x", 0, 0, 1))],
            "account x was never created",
        ),
        (
            [ANN_CREATED, BOB_CREATED, PAID, made("t", (BOB, -1, -6, 2), (ANN, 1, 6, 2))],
            "transfer t is made again",
        ),
        (
            [ANN_CREATED, BOB_CREATED, made("r", reverses="t")],
            "transfer r reverses t, never made",
        ),
        (
            [
                ANN_CREATED,
                BOB_CREATED,
                PAID,
                made("r", (BOB, 4, -1, 2), (ANN, -4, 1, 2), reverses="t"),
            ],
            "transfer r does not turn t around exactly",
        ),
        (
            [
                ANN_CREATED,
                BOB_CREATED,
                PAID,
                made("u", (BOB, -5, -10, 2), (ANN, 5, 10, 2)),
                made("r", (BOB, 5, -5, 3), (ANN, -5, 5, 3), reverses="t"),
                made("s", (BOB, 5, 0, 4), (ANN, -5, 0, 4), reverses="t"),
            ],
            "transfer t is reversed again",
        ),
        (
            [
                ANN_CREATED,
                BOB_CREATED,
                PAID,
                PAID_BACK,
                made("s", (BOB, -5, -5, 3), (ANN, 5, 5, 3), reverses="r"),
            ],
            "transfer r, itself a reversal, is reversed",
        ),
    ],
)
def test_the_audit_finds_a_fault_and_says_where(events: list[Message], breach: str) -> None:
    assert forged(*events) == [f"position {len(events)}: {breach}"]


def test_the_audit_finds_nothing_where_nothing_is_wrong() -> None:
    assert forged(ANN_CREATED, BOB_CREATED, PAID, PAID_BACK) == []
