"""The rows and tables of ledgers."""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2, ledgers_pb2
from gapless_server.core.refusals import Refused
from gapless_server.core.state import (
    Moment,
    PartitionedTable,
    SequenceTable,
    State,
    Table,
    UndoLog,
)

# The same on both sides, so that every amount and every balance can be turned around.
BALANCE_MAX = 2**63 - 1

# All accounts of a namespace are one partition, so that they can be listed in order.
ALL = ""


class AccountRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An account and its present balance."""

    unit: str
    floor: int | None
    balance: int
    head_sequence: int
    create_time_us: int
    update_time_us: int


class TransferRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transfer that was made."""

    legs: tuple[tuple[str, int], ...]  # account and amount; each account once
    attributes: tuple[tuple[str, str], ...]
    reverses: str  # empty: not a reversal
    reversed_by: str  # empty: not reversed
    position: int
    create_time_us: int


class ChangeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change of an account's balance; its sequence is the key."""

    amount: int
    balance: int
    transfer_id: str
    create_time_us: int


class LedgerTables:
    """Accounts and transfers by id, and the history of each account by its sequence."""

    def __init__(self, undo: UndoLog) -> None:
        self.accounts: PartitionedTable[str, str, AccountRow] = PartitionedTable(undo, AccountRow)
        self.transfers: Table[str, TransferRow] = Table(undo, TransferRow)
        self.history: SequenceTable[str, ChangeRow] = SequenceTable(undo, ChangeRow)


def require_account(state: State, account_id: str) -> AccountRow:
    """Returns the row of an account. Raises Refused, reason ACCOUNT_NOT_FOUND."""
    row = state.of(LedgerTables).accounts.get(ALL, account_id)
    if row is None:
        raise Refused(errors_pb2.ERROR_REASON_ACCOUNT_NOT_FOUND, account_id=account_id)
    return row


def require_transfer(state: State, transfer_id: str) -> TransferRow:
    """Returns the row of a transfer. Raises Refused, reason TRANSFER_NOT_FOUND."""
    row = state.of(LedgerTables).transfers.get(transfer_id)
    if row is None:
        raise Refused(errors_pb2.ERROR_REASON_TRANSFER_NOT_FOUND, transfer_id=transfer_id)
    return row


def floor_of(message: ledgers_pb2.CreateAccountRequest | ledgers_pb2.AccountCreated) -> int | None:
    """Returns the floor that a message names, or None."""
    return message.floor if message.HasField("floor") else None


def new_account(event: ledgers_pb2.AccountCreated, moment: Moment) -> AccountRow:
    """Returns the row of an account that has just been created."""
    return AccountRow(
        unit=event.unit,
        floor=floor_of(event),
        balance=0,
        head_sequence=0,
        create_time_us=moment.time_us,
        update_time_us=moment.time_us,
    )
