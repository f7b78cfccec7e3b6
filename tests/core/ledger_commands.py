"""Short ways to say the commands and reads of ledgers, for the tests of that kind."""

from __future__ import annotations

from gapless.v1.ledgers_pb2 import (
    Account,
    CreateAccountRequest,
    GetAccountRequest,
    GetTransferRequest,
    ListAccountHistoryRequest,
    ListAccountsRequest,
    ReverseTransferRequest,
    TransferLeg,
    TransferRecord,
    TransferRequest,
)
from tests.core.story import Story

ANN = "ann"
BOB = "bob"
OUTSIDE = "outside"
CENT = "EUR-cent"

BALANCE_MAX = 2**63 - 1


def account(account_id: str, *, unit: str = CENT, floor: int | None = None) -> CreateAccountRequest:
    return CreateAccountRequest(account_id=account_id, unit=unit, floor=floor)


def transfer(
    *legs: tuple[str, int], transfer_id: str = "", attributes: dict[str, str] | None = None
) -> TransferRequest:
    return TransferRequest(
        transfer_id=transfer_id,
        legs=[TransferLeg(account_id=account_id, amount=amount) for account_id, amount in legs],
        attributes=attributes,
    )


def pay(amount: int, source: str, target: str, transfer_id: str = "") -> TransferRequest:
    return transfer((source, -amount), (target, amount), transfer_id=transfer_id)


def reverse(
    transfer_id: str, reversal_id: str = "", *, fail_if_unchanged: bool = False
) -> ReverseTransferRequest:
    return ReverseTransferRequest(
        transfer_id=transfer_id,
        reversal_transfer_id=reversal_id,
        fail_if_unchanged=fail_if_unchanged,
    )


def account_of(story: Story, account_id: str) -> Account:
    found: Account = story.read(GetAccountRequest(account_id=account_id)).account
    return found


def balances(story: Story) -> dict[str, int]:
    """Returns the balance of every account."""
    answer = story.read(ListAccountsRequest(page_size=1000))
    return {one.account_id: one.balance for one in answer.accounts}


def transfer_of(story: Story, transfer_id: str) -> TransferRecord:
    found: TransferRecord = story.read(GetTransferRequest(transfer_id=transfer_id)).transfer
    return found


def history_of(story: Story, account_id: str) -> list[tuple[int, int, int, str]]:
    """Returns sequence, amount, balance and transfer of every change of an account."""
    answer = story.read(ListAccountHistoryRequest(account_id=account_id, page_size=1000))
    return [(one.sequence, one.amount, one.balance, one.transfer_id) for one in answer.changes]


def ann_has_100() -> Story:
    """Returns the story in which Ann got 100 and Bob has nothing; neither can be overdrawn."""
    return Story().given(
        account(OUTSIDE), account(ANN, floor=0), account(BOB, floor=0), pay(100, OUTSIDE, ANN, "in")
    )
