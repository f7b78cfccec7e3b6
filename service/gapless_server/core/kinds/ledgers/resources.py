"""Accounts and transfers as clients see them."""

from __future__ import annotations

from gapless.v1 import ledgers_pb2
from gapless_server.core.kinds.ledgers.tables import AccountRow, ChangeRow, TransferRow
from gapless_server.core.times import timestamp_bytes, to_timestamp
from gapless_server.core.writing import writer

_write_account = writer(ledgers_pb2.Account)
_write_change = writer(ledgers_pb2.AccountChange)


def account_resource(account_id: str, row: AccountRow) -> ledgers_pb2.Account:
    """Returns an account as clients see it."""
    return ledgers_pb2.Account.FromString(written_account(account_id, row))


def written_account(account_id: str, row: AccountRow) -> bytes:
    """Returns the same as its bytes."""
    return _write_account(
        account_id=account_id,
        unit=row.unit,
        balance=row.balance,
        floor=row.floor,
        head_sequence=row.head_sequence,
        create_time=timestamp_bytes(row.create_time_us),
        update_time=timestamp_bytes(row.update_time_us),
    )


def transfer_resource(transfer_id: str, row: TransferRow) -> ledgers_pb2.TransferRecord:
    """Returns a transfer as clients see it."""
    return ledgers_pb2.TransferRecord(
        transfer_id=transfer_id,
        legs=[
            ledgers_pb2.TransferLeg(account_id=account_id, amount=amount)
            for account_id, amount in row.legs
        ],
        attributes=dict(row.attributes),
        reverses_transfer_id=row.reverses,
        reversed_by_transfer_id=row.reversed_by,
        position=row.position,
        create_time=to_timestamp(row.create_time_us),
    )


def written_change(sequence: int, row: ChangeRow) -> bytes:
    """Returns a change of a balance as clients see it, as its bytes."""
    return _write_change(
        sequence=sequence,
        amount=row.amount,
        balance=row.balance,
        transfer_id=row.transfer_id,
        create_time=timestamp_bytes(row.create_time_us),
    )
