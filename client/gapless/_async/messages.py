"""Messages: post, edit, delete and read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._bodies import BodyLike, fill_body
from gapless._commands import CommandKind
from gapless._post_encoding import encoded_post
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.messages_pb2 import (
    LIST_ORDER_ASCENDING,
    LIST_ORDER_DESCENDING,
    DeleteMessageRequest,
    DeleteMessageResponse,
    EditMessageRequest,
    EditMessageResponse,
    GetMessageRequest,
    GetMessageResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    Message,
    PostMessageResponse,
)

_POST: Final = CommandKind("post_message", PostMessageResponse)
_EDIT: Final = CommandKind("edit_message", EditMessageResponse)
_DELETE: Final = CommandKind("delete_message", DeleteMessageResponse)
_GET: Final = QueryKind("MessageService.GetMessage", GetMessageResponse)
_LIST: Final = QueryKind("MessageService.ListMessages", ListMessagesResponse)


class Messages:
    """What is posted to a channel, in the order of its sequence; ``client.messages``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def post(
        self,
        channel_id: str,
        sender_id: str,
        body: BodyLike,
        *,
        attributes: Mapping[str, str] | None = None,
        message_id: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> PostMessageResponse:
        """Posts a message, which takes the channel's next sequence.

        Args:
            channel_id: where to.
            sender_id: who posts it.
            body: a text, bytes or a ``Body``; at most 65,536 bytes.
            attributes: facts of the application, at most 64.
            message_id: unique in the channel. None: the service makes one.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The message's id, its sequence and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            ChannelArchived: the channel takes no more messages.
            MessageAlreadyExists: the message id is taken.
            SequenceExhausted: the channel has given its last number.
            GaplessError: any other failure.
        """
        if request_id is None:
            request_id = new_request_id()
        data = encoded_post(request_id, channel_id, sender_id, body, attributes, message_id)
        return await self._calls.submit_encoded(_POST, request_id, data, timeout)

    async def edit(
        self,
        channel_id: str,
        message_id: str,
        body: BodyLike,
        *,
        attributes: Mapping[str, str] | None = None,
        expected_version: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> EditMessageResponse:
        """Replaces the content of a message or reply, which keeps its sequence.

        Args:
            channel_id: the channel of the message.
            message_id: which message or reply.
            body: the new content: a text, bytes or a ``Body``; at most 65,536 bytes.
            attributes: replace all old ones. None: there are none any more.
            expected_version: edit only at this version, from 1. None: at any.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version after the edit, and the receipt.

        Raises:
            MessageNotFound: there is no such message.
            MessageDeleted: it is deleted.
            MessageVersionMismatch: it is at another version than expected.
            GaplessError: any other failure.
        """
        request = EditMessageRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            message_id=message_id,
            attributes=attributes,
            expected_version=expected_version,
        )
        fill_body(request.body, body)
        return await self._calls.submit(_EDIT, request, timeout)

    async def delete(
        self,
        channel_id: str,
        message_id: str,
        *,
        expected_version: int | None = None,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteMessageResponse:
        """Deletes the content of a message or reply and leaves a tombstone in its place.

        Args:
            channel_id: the channel of the message.
            message_id: which message or reply.
            expected_version: delete only at this version, from 1. None: at any.
            fail_if_unchanged: raise MessageDeleted if it is deleted already.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version of the tombstone, and the receipt.

        Raises:
            MessageNotFound: there is no such message.
            MessageDeleted: it is deleted already, and that was to fail.
            MessageVersionMismatch: it is at another version than expected.
            GaplessError: any other failure.
        """
        request = DeleteMessageRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            message_id=message_id,
            expected_version=expected_version,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_DELETE, request, timeout)

    async def get(
        self, channel_id: str, message_id: str, *, timeout: float | None = None
    ) -> Message:
        """Returns one message or reply; a deleted one as its tombstone.

        Args:
            channel_id: the channel of the message.
            message_id: which message or reply.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            MessageNotFound: there is none.
            GaplessError: any other failure.
        """
        request = GetMessageRequest(channel_id=channel_id, message_id=message_id)
        response = await self._calls.query(_GET, request, timeout)
        return response.message

    def list(
        self,
        channel_id: str,
        *,
        descending: bool = False,
        start_sequence: int | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[Message]:
        """Lists what has a channel sequence, in the order of that sequence, tombstones included.

        Args:
            channel_id: which channel.
            descending: largest sequence first.
            start_sequence: begin here, inclusive, from 1. None: at the first in the order.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            ChannelNotFound: while iterating, if there is no such channel.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListMessagesRequest(
            channel_id=channel_id,
            order=LIST_ORDER_DESCENDING if descending else LIST_ORDER_ASCENDING,
            start_sequence=start_sequence,
            page_size=page_size or 0,
        )
        return AsyncPager(self._calls, _LIST, request, lambda page: page.messages, timeout)
