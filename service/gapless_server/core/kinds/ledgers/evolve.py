"""Changes the tables of ledgers by what happened."""

from __future__ import annotations

import msgspec

from gapless.v1 import ledgers_pb2
from gapless_server.core.kinds.channels import sorted_attributes
from gapless_server.core.kinds.ledgers.tables import (
    ALL,
    ChangeRow,
    LedgerTables,
    TransferRow,
    new_account,
    require_account,
    require_transfer,
)
from gapless_server.core.state import Moment, State


def account_created(state: State, event: ledgers_pb2.AccountCreated, moment: Moment) -> None:
    """An account begins with balance 0."""
    accounts = state.of(LedgerTables).accounts
    accounts.put(ALL, event.account_id, new_account(event, moment))


def transfer_made(state: State, event: ledgers_pb2.TransferMade, moment: Moment) -> None:
    """Each account has the balance, and its history the change, that the event says."""
    tables = state.of(LedgerTables)
    for part in event.parts:
        row = msgspec.structs.replace(
            require_account(state, part.account_id),
            balance=part.balance,
            head_sequence=part.sequence,
            update_time_us=moment.time_us,
        )
        tables.accounts.put(ALL, part.account_id, row)
        change = ChangeRow(part.amount, part.balance, event.transfer_id, moment.time_us)
        tables.history.append(part.account_id, part.sequence, change)
    transfer = TransferRow(
        legs=tuple((part.account_id, part.amount) for part in event.parts),
        attributes=sorted_attributes(event.attributes),
        reverses=event.reverses_transfer_id,
        reversed_by="",
        position=moment.position,
        create_time_us=moment.time_us,
    )
    tables.transfers.put(event.transfer_id, transfer)
    if event.reverses_transfer_id:
        original = require_transfer(state, event.reverses_transfer_id)
        original = msgspec.structs.replace(original, reversed_by=event.transfer_id)
        tables.transfers.put(event.reverses_transfer_id, original)
