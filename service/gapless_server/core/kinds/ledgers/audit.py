"""Recounts ledgers: every balance from its changes, and nothing made or lost between them."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import ledgers_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


class _Account:
    """What the auditor knows of an account."""

    def __init__(self, event: ledgers_pb2.AccountCreated) -> None:
        self.unit = event.unit
        self.floor = event.floor if event.HasField("floor") else None
        self.balance = 0
        self.sequence = 0


class LedgerAuditor(Auditor):
    """Recounts the balances of accounts.

    1. The amounts of a transfer sum to 0 in each unit, so that all balances of a unit do.
    2. A balance is the sum of its changes, whose sequences are dense from 1.
    3. A balance is never below its floor.
    4. A transfer id stands for one transfer, and a transfer is reversed at most once, by one with
       exactly its amounts turned around.
    """

    def __init__(self) -> None:
        super().__init__()
        self._accounts: dict[str, _Account] = {}
        self._transfers: dict[str, dict[str, int]] = {}
        self._reversed: set[str] = set()
        self._reversals: set[str] = set()

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case ledgers_pb2.AccountCreated():
                if event.account_id in self._accounts:
                    self.breach(moment, f"account {event.account_id} is created again")
                self._accounts[event.account_id] = _Account(event)
            case ledgers_pb2.TransferMade():
                self._made(event, moment)

    def _made(self, event: ledgers_pb2.TransferMade, moment: Moment) -> None:
        sums: dict[str, int] = {}
        for part in event.parts:
            account = self._accounts.get(part.account_id)
            if account is None:
                self.breach(moment, f"account {part.account_id} was never created")
                continue
            sums[account.unit] = sums.get(account.unit, 0) + part.amount
            self._changed(account, part, moment)
        for unit, amount in sums.items():
            if amount:
                self.breach(
                    moment, f"transfer {event.transfer_id} sums to {amount} in {unit}, not to 0"
                )
        legs = {part.account_id: part.amount for part in event.parts}
        if len(legs) != len(event.parts):
            self.breach(moment, f"transfer {event.transfer_id} names an account twice")
        if event.transfer_id in self._transfers:
            self.breach(moment, f"transfer {event.transfer_id} is made again")
        self._transfers[event.transfer_id] = legs
        if event.reverses_transfer_id:
            self._reverses(event, legs, moment)

    def _changed(self, account: _Account, part: ledgers_pb2.TransferPart, moment: Moment) -> None:
        account.balance += part.amount
        account.sequence += 1
        if part.balance != account.balance:
            self.breach(
                moment,
                f"account {part.account_id} is said to have {part.balance},"
                f" its changes sum to {account.balance}",
            )
        if part.sequence != account.sequence:
            self.breach(
                moment,
                f"account {part.account_id}: sequence {part.sequence} follows"
                f" {account.sequence - 1}",
            )
        if account.floor is not None and account.balance < account.floor:
            self.breach(
                moment,
                f"account {part.account_id} has {account.balance},"
                f" below its floor of {account.floor}",
            )

    def _reverses(
        self, event: ledgers_pb2.TransferMade, legs: dict[str, int], moment: Moment
    ) -> None:
        original_id = event.reverses_transfer_id
        original = self._transfers.get(original_id)
        if original is None:
            self.breach(moment, f"transfer {event.transfer_id} reverses {original_id}, never made")
        elif legs != {account_id: -amount for account_id, amount in original.items()}:
            self.breach(
                moment, f"transfer {event.transfer_id} does not turn {original_id} around exactly"
            )
        if original_id in self._reversed:
            self.breach(moment, f"transfer {original_id} is reversed again")
        if original_id in self._reversals:
            self.breach(moment, f"transfer {original_id}, itself a reversal, is reversed")
        self._reversed.add(original_id)
        self._reversals.add(event.transfer_id)
