"""Decides accounts, transfers and their reversals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gapless.v1 import errors_pb2, ledgers_pb2
from gapless_server.core.kernel import Context, Decision
from gapless_server.core.kinds.channels import sorted_attributes
from gapless_server.core.kinds.ledgers.resources import account_resource
from gapless_server.core.kinds.ledgers.tables import (
    ALL,
    BALANCE_MAX,
    LedgerTables,
    TransferRow,
    floor_of,
    new_account,
    require_account,
    require_transfer,
)
from gapless_server.core.refusals import FieldFault, Refused, invalid_field, invalid_fields
from gapless_server.core.state import State


def create_account(
    state: State, command: ledgers_pb2.CreateAccountRequest, context: Context
) -> Decision:
    """Decides CreateAccount."""
    account_id, floor = command.account_id, floor_of(command)
    row = state.of(LedgerTables).accounts.get(ALL, account_id)
    if row is None:
        created = ledgers_pb2.AccountCreated(account_id=account_id, unit=command.unit, floor=floor)
        account = account_resource(account_id, new_account(created, context.moment))
        return Decision([created], ledgers_pb2.CreateAccountResponse(account=account))
    pairs = (("unit", row.unit, command.unit), ("floor", row.floor, floor))
    differing = [name for name, old, asked in pairs if old != asked]
    if differing:
        raise Refused(
            errors_pb2.ERROR_REASON_ACCOUNT_ALREADY_EXISTS,
            account_id=account_id,
            fields=", ".join(differing),
        )
    return Decision(
        [], ledgers_pb2.CreateAccountResponse(account=account_resource(account_id, row))
    )


def _sums(command: ledgers_pb2.TransferRequest) -> dict[str, int]:
    """Returns what is added to each account, in the order of the legs; no sum is 0.

    Raises Refused, reason INVALID_FIELD.
    """
    if len(command.legs) == 1:
        raise invalid_field("legs", "must have at least 2 items, found 1")
    faults = tuple(
        FieldFault(f"legs[{index}].amount", "must not be 0")
        for index, leg in enumerate(command.legs)
        if not leg.amount
    )
    if faults:
        raise invalid_fields(faults)
    sums: dict[str, int] = {}
    for leg in command.legs:
        sums[leg.account_id] = sums.get(leg.account_id, 0) + leg.amount
    return sums


def _require_balanced(state: State, sums: Mapping[str, int]) -> None:
    """Raises Refused: ACCOUNT_NOT_FOUND or TRANSFER_UNBALANCED."""
    units: dict[str, int] = {}
    for account_id, amount in sums.items():
        unit = require_account(state, account_id).unit
        units[unit] = units.get(unit, 0) + amount
    for unit, amount in units.items():
        if amount:
            fault = FieldFault("legs", f"must sum to 0 in {unit}, found {amount}")
            raise Refused(
                errors_pb2.ERROR_REASON_TRANSFER_UNBALANCED, faults=(fault,), unit=unit, sum=amount
            )
    if not any(sums.values()):
        raise invalid_field("legs", "must move something: they add up to 0 for every account")


def _part(state: State, account_id: str, amount: int) -> ledgers_pb2.TransferPart:
    """Returns one account's part in a transfer.

    Raises Refused: BALANCE_OVERFLOW or BALANCE_BELOW_FLOOR.
    """
    row = require_account(state, account_id)
    balance = row.balance + amount
    if abs(amount) > BALANCE_MAX or abs(balance) > BALANCE_MAX:
        raise Refused(
            errors_pb2.ERROR_REASON_BALANCE_OVERFLOW,
            account_id=account_id,
            unit=row.unit,
            balance=row.balance,
            amount=amount,
            balance_max=BALANCE_MAX,
        )
    if row.floor is not None and balance < row.floor:
        raise Refused(
            errors_pb2.ERROR_REASON_BALANCE_BELOW_FLOOR,
            account_id=account_id,
            unit=row.unit,
            balance=row.balance,
            amount=amount,
            floor=row.floor,
        )
    return ledgers_pb2.TransferPart(
        account_id=account_id, amount=amount, balance=balance, sequence=row.head_sequence + 1
    )


def _made(
    state: State,
    transfer_id: str,
    legs: Iterable[tuple[str, int]],
    attributes: Mapping[str, str],
    reverses: str = "",
) -> ledgers_pb2.TransferMade:
    """Returns the event of a transfer. Raises Refused: BALANCE_OVERFLOW or BALANCE_BELOW_FLOOR."""
    return ledgers_pb2.TransferMade(
        transfer_id=transfer_id,
        parts=[_part(state, account_id, amount) for account_id, amount in legs],
        attributes=attributes,
        reverses_transfer_id=reverses,
    )


def _balances_after(event: ledgers_pb2.TransferMade) -> list[ledgers_pb2.AccountBalance]:
    return [
        ledgers_pb2.AccountBalance(account_id=part.account_id, balance=part.balance)
        for part in event.parts
    ]


def _present_balances(state: State, account_ids: Iterable[str]) -> list[ledgers_pb2.AccountBalance]:
    return [
        ledgers_pb2.AccountBalance(
            account_id=account_id, balance=require_account(state, account_id).balance
        )
        for account_id in account_ids
    ]


def transfer(state: State, command: ledgers_pb2.TransferRequest, context: Context) -> Decision:
    """Decides Transfer."""
    sums = _sums(command)
    moved = {account_id: amount for account_id, amount in sums.items() if amount}
    there = state.of(LedgerTables).transfers.get(command.transfer_id)
    if there is not None:
        pairs = (
            ("legs", dict(there.legs), moved),
            ("attributes", there.attributes, sorted_attributes(command.attributes)),
            ("reverses_transfer_id", there.reverses, ""),
        )
        _require_same(command.transfer_id, [name for name, old, new in pairs if old != new])
        response = ledgers_pb2.TransferResponse(
            transfer_id=command.transfer_id, balances=_present_balances(state, moved)
        )
        return Decision([], response)
    _require_balanced(state, sums)
    transfer_id = command.transfer_id or context.new_id()
    made = _made(state, transfer_id, moved.items(), command.attributes)
    response = ledgers_pb2.TransferResponse(transfer_id=transfer_id, balances=_balances_after(made))
    return Decision([made], response)


def _require_same(transfer_id: str, differing: list[str]) -> None:
    """Raises Refused, reason TRANSFER_ALREADY_EXISTS, if anything differs."""
    if differing:
        raise Refused(
            errors_pb2.ERROR_REASON_TRANSFER_ALREADY_EXISTS,
            transfer_id=transfer_id,
            fields=", ".join(differing),
        )


def reverse_transfer(
    state: State, command: ledgers_pb2.ReverseTransferRequest, context: Context
) -> Decision:
    """Decides ReverseTransfer."""
    transfer_id = command.transfer_id
    row = require_transfer(state, transfer_id)
    if row.reverses:
        raise Refused(
            errors_pb2.ERROR_REASON_TRANSFER_IS_REVERSAL,
            transfer_id=transfer_id,
            reverses_transfer_id=row.reverses,
        )
    if row.reversed_by:
        return _already_reversed(state, command, row)
    reversal_id = command.reversal_transfer_id or context.new_id()
    if state.of(LedgerTables).transfers.get(reversal_id) is not None:
        _require_same(reversal_id, ["reverses_transfer_id"])
    legs = [(account_id, -amount) for account_id, amount in row.legs]
    made = _made(state, reversal_id, legs, command.attributes, reverses=transfer_id)
    response = ledgers_pb2.ReverseTransferResponse(
        reversal_transfer_id=reversal_id, balances=_balances_after(made)
    )
    return Decision([made], response)


def _already_reversed(
    state: State, command: ledgers_pb2.ReverseTransferRequest, row: TransferRow
) -> Decision:
    if command.fail_if_unchanged:
        raise Refused(
            errors_pb2.ERROR_REASON_TRANSFER_ALREADY_REVERSED,
            transfer_id=command.transfer_id,
            reversal_transfer_id=row.reversed_by,
        )
    balances = _present_balances(state, (account_id for account_id, _ in row.legs))
    response = ledgers_pb2.ReverseTransferResponse(
        reversal_transfer_id=row.reversed_by, balances=balances
    )
    return Decision([], response)
