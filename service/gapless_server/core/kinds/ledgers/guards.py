"""The guard of ledgers: an account has at least a balance."""

from __future__ import annotations

from gapless.v1 import ledgers_pb2
from gapless_server.core.kernel import Unmet
from gapless_server.core.kinds.ledgers.tables import ALL, LedgerTables
from gapless_server.core.state import State


def balance_at_least(state: State, guard: ledgers_pb2.AccountBalanceGuard) -> Unmet | None:
    """Returns None if the account has at least the balance."""
    subject, expected = f"account {guard.account_id}", f"a balance of at least {guard.balance_min}"
    row = state.of(LedgerTables).accounts.get(ALL, guard.account_id)
    if row is None:
        return Unmet(subject, expected, "no such account")
    if row.balance >= guard.balance_min:
        return None
    return Unmet(subject, expected, str(row.balance))
