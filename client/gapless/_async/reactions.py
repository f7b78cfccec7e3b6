"""Reactions: add, remove, toggle and read them."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.reactions_pb2 import (
    AddReactionRequest,
    AddReactionResponse,
    GetReactionCountsRequest,
    GetReactionCountsResponse,
    ListReactionsRequest,
    ListReactionsResponse,
    Reaction,
    RemoveReactionRequest,
    RemoveReactionResponse,
    ToggleReactionRequest,
    ToggleReactionResponse,
)

_ADD: Final = CommandKind("add_reaction", AddReactionResponse)
_REMOVE: Final = CommandKind("remove_reaction", RemoveReactionResponse)
_TOGGLE: Final = CommandKind("toggle_reaction", ToggleReactionResponse)
_LIST: Final = QueryKind("ReactionService.ListReactions", ListReactionsResponse)
_COUNTS: Final = QueryKind("ReactionService.GetReactionCounts", GetReactionCountsResponse)


class Reactions:
    """At most one of each emoji by each user on each message; ``client.reactions``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def add(
        self,
        channel_id: str,
        message_id: str,
        user_id: str,
        emoji: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AddReactionResponse:
        """Adds a reaction. Already there: ``changed`` is False.

        Args:
            channel_id: the channel of the message.
            message_id: the message.
            user_id: who reacts.
            emoji: any identifier; at most 64 different ones on a message.
            fail_if_unchanged: raise ReactionAlreadyExists if it is there.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            How many users now have this emoji there, and the receipt.

        Raises:
            MessageNotFound: there is no such message.
            MessageDeleted: it is deleted.
            TooManyEmoji: the message has its full number of different emoji.
            ReactionAlreadyExists: it is there already, and that was to fail.
            GaplessError: any other failure.
        """
        request = AddReactionRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            message_id=message_id,
            user_id=user_id,
            emoji=emoji,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_ADD, request, timeout)

    async def remove(
        self,
        channel_id: str,
        message_id: str,
        user_id: str,
        emoji: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RemoveReactionResponse:
        """Removes a reaction. Not there: ``changed`` is False.

        Args:
            channel_id: the channel of the message.
            message_id: the message.
            user_id: whose reaction.
            emoji: which.
            fail_if_unchanged: raise ReactionNotFound if it is not there.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            How many users now have this emoji there, and the receipt.

        Raises:
            MessageNotFound: there is no such message.
            MessageDeleted: it is deleted.
            ReactionNotFound: it is not there, and that was to fail.
            GaplessError: any other failure.
        """
        request = RemoveReactionRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            message_id=message_id,
            user_id=user_id,
            emoji=emoji,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_REMOVE, request, timeout)

    async def toggle(
        self,
        channel_id: str,
        message_id: str,
        user_id: str,
        emoji: str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ToggleReactionResponse:
        """Adds the reaction if it is not there, and removes it if it is.

        Args:
            channel_id: the channel of the message.
            message_id: the message.
            user_id: who reacts.
            emoji: any identifier; at most 64 different ones on a message.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            What it did, how many users now have this emoji there, and the receipt.

        Raises:
            MessageNotFound: there is no such message.
            MessageDeleted: it is deleted.
            TooManyEmoji: the message has its full number of different emoji.
            GaplessError: any other failure.
        """
        request = ToggleReactionRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            message_id=message_id,
            user_id=user_id,
            emoji=emoji,
        )
        return await self._calls.submit(_TOGGLE, request, timeout)

    def list(
        self,
        channel_id: str,
        message_id: str,
        *,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[Reaction]:
        """Lists the single reactions to a message, by emoji and then user.

        Args:
            channel_id: the channel of the message.
            message_id: the message.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            MessageNotFound: while iterating, if there is no such message.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListReactionsRequest(
            channel_id=channel_id, message_id=message_id, page_size=page_size or 0
        )
        return AsyncPager(self._calls, _LIST, request, lambda page: page.reactions, timeout)

    async def counts(
        self, channel_id: str, message_id: str, *, timeout: float | None = None
    ) -> dict[str, int]:
        """Returns how many users have each emoji on a message, in the order of the emoji.

        Args:
            channel_id: the channel of the message.
            message_id: the message.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            MessageNotFound: there is no such message.
            GaplessError: any other failure.
        """
        request = GetReactionCountsRequest(channel_id=channel_id, message_id=message_id)
        response = await self._calls.query(_COUNTS, request, timeout)
        return {count.emoji: count.count for count in response.counts}
