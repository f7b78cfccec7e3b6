"""Ledgers: what is read of accounts, their histories and transfers, by page."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.ledgers_pb2 import (
    GetAccountRequest,
    GetTransferRequest,
    ListAccountHistoryRequest,
    ListAccountsRequest,
)
from gapless.v1.messages_pb2 import LIST_ORDER_DESCENDING
from tests.core.ledger_commands import (
    ANN,
    BOB,
    OUTSIDE,
    ann_has_100,
    pay,
)
from tests.core.story import Story


@pytest.fixture
def story() -> Story:
    """Ann has 100, Bob nothing."""
    return ann_has_100()


def test_history_is_listed_by_page_in_both_directions(story: Story) -> None:
    story.given(pay(1, ANN, BOB, "a"), pay(2, ANN, BOB, "b"), pay(3, ANN, BOB, "c"))

    up = story.read(ListAccountHistoryRequest(account_id=BOB, page_size=2))
    more = story.read(
        ListAccountHistoryRequest(account_id=BOB, page_size=2, page_token=up.next_page_token)
    )
    down = story.read(
        ListAccountHistoryRequest(account_id=BOB, page_size=2, order=LIST_ORDER_DESCENDING)
    )

    assert [one.transfer_id for one in [*up.changes, *more.changes]] == ["a", "b", "c"]
    assert [(one.sequence, one.balance) for one in down.changes] == [(3, 6), (2, 3)]


def test_history_begins_where_it_is_asked_to(story: Story) -> None:
    story.given(pay(1, ANN, BOB), pay(2, ANN, BOB), pay(3, ANN, BOB))

    found = story.read(ListAccountHistoryRequest(account_id=BOB, start_sequence=2))

    assert [one.amount for one in found.changes] == [2, 3]


def test_accounts_are_listed_by_page(story: Story) -> None:
    first = story.read(ListAccountsRequest(page_size=2))
    rest = story.read(ListAccountsRequest(page_size=2, page_token=first.next_page_token))

    found = [one.account_id for one in [*first.accounts, *rest.accounts]]
    assert found == [ANN, BOB, OUTSIDE]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (GetAccountRequest(account_id="x"), "ACCOUNT_NOT_FOUND"),
        (ListAccountHistoryRequest(account_id="x"), "ACCOUNT_NOT_FOUND"),
        (GetTransferRequest(transfer_id="x"), "TRANSFER_NOT_FOUND"),
    ],
)
def test_what_is_missing_is_not_found(story: Story, request_: Message, reason: str) -> None:
    story.then_read_refused(request_, reason)
