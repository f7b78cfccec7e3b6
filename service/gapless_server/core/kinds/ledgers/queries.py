"""Answers reads of accounts, transfers and histories."""

from __future__ import annotations

from gapless.v1 import ledgers_pb2, messages_pb2
from gapless_server.core.kinds.ledgers.resources import (
    account_resource,
    transfer_resource,
    written_account,
    written_change,
)
from gapless_server.core.kinds.ledgers.tables import (
    ALL,
    LedgerTables,
    require_account,
    require_transfer,
)
from gapless_server.core.kinds.messages import scan_start
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.state import State
from gapless_server.core.writing import Written


def get_account(
    state: State, request: ledgers_pb2.GetAccountRequest, _limits: PageLimits
) -> ledgers_pb2.GetAccountResponse:
    """Answers GetAccount."""
    row = require_account(state, request.account_id)
    return ledgers_pb2.GetAccountResponse(account=account_resource(request.account_id, row))


def list_accounts(
    state: State, request: ledgers_pb2.ListAccountsRequest, limits: PageLimits
) -> Written:
    """Answers ListAccounts."""
    rows = state.of(LedgerTables).accounts.scan(ALL, after=read_token(request, str))
    return written_page(
        request, limits, rows, written_account, ledgers_pb2.ListAccountsResponse, "accounts"
    )


def get_transfer(
    state: State, request: ledgers_pb2.GetTransferRequest, _limits: PageLimits
) -> ledgers_pb2.GetTransferResponse:
    """Answers GetTransfer."""
    row = require_transfer(state, request.transfer_id)
    return ledgers_pb2.GetTransferResponse(transfer=transfer_resource(request.transfer_id, row))


def list_account_history(
    state: State, request: ledgers_pb2.ListAccountHistoryRequest, limits: PageLimits
) -> Written:
    """Answers ListAccountHistory."""
    require_account(state, request.account_id)
    descending = request.order == messages_pb2.LIST_ORDER_DESCENDING
    start = request.start_sequence if request.HasField("start_sequence") else None
    first = scan_start(read_token(request, int), start, descending=descending)
    rows = state.of(LedgerTables).history.scan(request.account_id, first, descending=descending)
    return written_page(
        request, limits, rows, written_change, ledgers_pb2.ListAccountHistoryResponse, "changes"
    )
