"""Ledgers: moves integer amounts between accounts; never makes or loses any."""

from gapless.v1 import ledgers_pb2
from gapless_server.core.kernel import Kind
from gapless_server.core.kinds.ledgers import decide, evolve, guards, queries
from gapless_server.core.kinds.ledgers.audit import LedgerAuditor
from gapless_server.core.kinds.ledgers.tables import LedgerTables

__all__ = ["KIND"]

KIND = Kind(
    name="ledgers",
    tables=(LedgerTables,),
    commands={
        ledgers_pb2.CreateAccountRequest: decide.create_account,
        ledgers_pb2.TransferRequest: decide.transfer,
        ledgers_pb2.ReverseTransferRequest: decide.reverse_transfer,
    },
    guards={ledgers_pb2.AccountBalanceGuard: guards.balance_at_least},
    events={
        ledgers_pb2.AccountCreated: evolve.account_created,
        ledgers_pb2.TransferMade: evolve.transfer_made,
    },
    queries={
        ledgers_pb2.GetAccountRequest: queries.get_account,
        ledgers_pb2.ListAccountsRequest: queries.list_accounts,
        ledgers_pb2.GetTransferRequest: queries.get_transfer,
        ledgers_pb2.ListAccountHistoryRequest: queries.list_account_history,
    },
    auditors=(LedgerAuditor,),
)
