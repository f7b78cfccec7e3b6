"""Ledgers: accounts, transfers between them, and their histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.ledgers_pb2 import (
    Account,
    AccountChange,
    CreateAccountRequest,
    CreateAccountResponse,
    GetAccountRequest,
    GetAccountResponse,
    GetTransferRequest,
    GetTransferResponse,
    ListAccountHistoryRequest,
    ListAccountHistoryResponse,
    ListAccountsRequest,
    ListAccountsResponse,
    ReverseTransferRequest,
    ReverseTransferResponse,
    TransferLeg,
    TransferRecord,
    TransferRequest,
    TransferResponse,
)
from gapless.v1.messages_pb2 import LIST_ORDER_ASCENDING, LIST_ORDER_DESCENDING

_CREATE: Final = CommandKind("create_account", CreateAccountResponse)
_TRANSFER: Final = CommandKind("transfer", TransferResponse)
_REVERSE: Final = CommandKind("reverse_transfer", ReverseTransferResponse)
_GET: Final = QueryKind("LedgerService.GetAccount", GetAccountResponse)
_LIST: Final = QueryKind("LedgerService.ListAccounts", ListAccountsResponse)
_GET_TRANSFER: Final = QueryKind("LedgerService.GetTransfer", GetTransferResponse)
_HISTORY: Final = QueryKind("LedgerService.ListAccountHistory", ListAccountHistoryResponse)


class Ledgers:
    """Accounts with balances in whole units, and transfers; reached as ``client.ledgers``.

    The balances of all accounts of a unit sum to 0: what comes in from outside comes from an
    account that stands for the outside and has no floor.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create_account(
        self,
        account_id: str,
        unit: str,
        *,
        floor: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CreateAccountResponse:
        """Creates an account with balance 0. The same again: ``changed`` is False.

        Args:
            account_id: 1 to 128 characters, unique in the namespace.
            unit: what it counts, such as ``"EUR-cent"``.
            floor: the balance never goes below this; 0 or less. None: no floor.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The account and the receipt.

        Raises:
            AccountAlreadyExists: it is there with another unit or floor.
            GaplessError: any other failure.
        """
        request = CreateAccountRequest(
            request_id=new_request_id() if request_id is None else request_id,
            account_id=account_id,
            unit=unit,
            floor=floor,
        )
        return await self._calls.submit(_CREATE, request, timeout)

    async def transfer(
        self,
        amounts: Mapping[str, int],
        *,
        transfer_id: str | None = None,
        attributes: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> TransferResponse:
        """Moves amounts between accounts, all or none of it.

        Args:
            amounts: what is added to each account; negative: taken. They sum to 0 in each unit;
                2 to 1,000 accounts.
            transfer_id: unique in the namespace; the same again moves nothing. None: the service
                makes one.
            attributes: the application's own facts.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The transfer's id, the new balances in the order of `amounts`, and the receipt.

        Raises:
            AccountNotFound: there is no such account.
            TransferUnbalanced: the amounts of a unit do not sum to 0.
            BalanceBelowFloor: an account has too little.
            BalanceOverflow: a balance would go beyond 2^63-1 on either side.
            TransferAlreadyExists: the id stands for another transfer.
            GaplessError: any other failure.
        """
        request = TransferRequest(
            request_id=new_request_id() if request_id is None else request_id,
            transfer_id=transfer_id or "",
            legs=[
                TransferLeg(account_id=account_id, amount=amount)
                for account_id, amount in amounts.items()
            ],
            attributes=attributes,
        )
        return await self._calls.submit(_TRANSFER, request, timeout)

    async def reverse(
        self,
        transfer_id: str,
        *,
        reversal_transfer_id: str | None = None,
        attributes: Mapping[str, str] | None = None,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReverseTransferResponse:
        """Turns a transfer around, at most once. Again: ``changed`` is False.

        Args:
            transfer_id: which transfer.
            reversal_transfer_id: the id of the reversal. None: the service makes one.
            attributes: the application's own facts about the reversal.
            fail_if_unchanged: raise TransferAlreadyReversed if it is reversed.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The id of the reversal, the new balances, and the receipt.

        Raises:
            TransferNotFound: there is no such transfer.
            TransferIsReversal: it reverses another one itself.
            TransferAlreadyReversed: it is reversed, and that was to fail.
            TransferAlreadyExists: the reversal's id is taken.
            BalanceBelowFloor: an account has too little to give back.
            BalanceOverflow: a balance would go beyond 2^63-1 on either side.
            GaplessError: any other failure.
        """
        request = ReverseTransferRequest(
            request_id=new_request_id() if request_id is None else request_id,
            transfer_id=transfer_id,
            reversal_transfer_id=reversal_transfer_id or "",
            attributes=attributes,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_REVERSE, request, timeout)

    async def get_account(self, account_id: str, *, timeout: float | None = None) -> Account:
        """Returns an account with its balance.

        Args:
            account_id: which account.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            AccountNotFound: there is no such account.
            GaplessError: any other failure.
        """
        request = GetAccountRequest(account_id=account_id)
        response = await self._calls.query(_GET, request, timeout)
        return response.account

    def list_accounts(
        self, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[Account]:
        """Lists the accounts in the order of their ids.

        Args:
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListAccountsRequest(page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.accounts, timeout)

    async def get_transfer(
        self, transfer_id: str, *, timeout: float | None = None
    ) -> TransferRecord:
        """Returns a transfer that was made.

        Args:
            transfer_id: which transfer.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            TransferNotFound: there is no such transfer.
            GaplessError: any other failure.
        """
        request = GetTransferRequest(transfer_id=transfer_id)
        response = await self._calls.query(_GET_TRANSFER, request, timeout)
        return response.transfer

    def history(
        self,
        account_id: str,
        *,
        descending: bool = False,
        start_sequence: int | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[AccountChange]:
        """Lists what changed the balance of an account, in the order of its sequence.

        Args:
            account_id: which account.
            descending: the newest first.
            start_sequence: begin here, inclusive, from 1. None: at the first in the order.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            AccountNotFound: while iterating, if there is no such account.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListAccountHistoryRequest(
            account_id=account_id,
            order=LIST_ORDER_DESCENDING if descending else LIST_ORDER_ASCENDING,
            start_sequence=start_sequence,
            page_size=page_size or 0,
        )
        return AsyncPager(self._calls, _HISTORY, request, lambda page: page.changes, timeout)
