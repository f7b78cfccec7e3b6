"""Threads: reply to a message and read the replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._bodies import BodyLike, fill_body
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.messages_pb2 import LIST_ORDER_ASCENDING, LIST_ORDER_DESCENDING, Message
from gapless.v1.threads_pb2 import (
    ListRepliesRequest,
    ListRepliesResponse,
    ListThreadParticipantsRequest,
    ListThreadParticipantsResponse,
    PostReplyRequest,
    PostReplyResponse,
    ThreadParticipant,
)

_REPLY: Final = CommandKind("post_reply", PostReplyResponse)
_LIST: Final = QueryKind("ThreadService.ListReplies", ListRepliesResponse)
_PARTICIPANTS: Final = QueryKind(
    "ThreadService.ListThreadParticipants", ListThreadParticipantsResponse
)


class Threads:
    """The replies to a message, in a sequence of their own; ``client.threads``.

    Replies are edited, deleted and read singly through ``client.messages``.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def reply(
        self,
        channel_id: str,
        parent_message_id: str,
        sender_id: str,
        body: BodyLike,
        *,
        attributes: Mapping[str, str] | None = None,
        message_id: str | None = None,
        show_in_channel: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> PostReplyResponse:
        """Replies to a message. The reply takes the thread's next sequence.

        Args:
            channel_id: the channel of the message.
            parent_message_id: the message to reply to, not itself a reply.
            sender_id: who replies.
            body: a text, bytes or a ``Body``; at most 65,536 bytes.
            attributes: facts of the application, at most 64.
            message_id: the reply's id, unique in the channel. None: the service makes one.
            show_in_channel: show it in the channel too; it takes a channel sequence as well.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The reply's id, its sequences, the parent's ``reply_count`` and the receipt.

        Raises:
            MessageNotFound: there is no such parent.
            MessageDeleted: the parent is deleted.
            ParentIsReply: the parent is itself a reply.
            ChannelArchived: the channel takes no more messages.
            MessageAlreadyExists: the reply's id is taken.
            GaplessError: any other failure.
        """
        request = PostReplyRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            parent_message_id=parent_message_id,
            sender_id=sender_id,
            attributes=attributes,
            message_id=message_id or "",
            show_in_channel=show_in_channel,
        )
        fill_body(request.body, body)
        return await self._calls.submit(_REPLY, request, timeout)

    def list(
        self,
        channel_id: str,
        parent_message_id: str,
        *,
        descending: bool = False,
        start_sequence: int | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[Message]:
        """Lists the replies in the order of their thread sequence, tombstones included.

        Args:
            channel_id: the channel of the parent.
            parent_message_id: the message above the thread.
            descending: largest sequence first.
            start_sequence: begin here, inclusive, from 1. None: at the first in the order.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            MessageNotFound: while iterating, if there is no such message.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListRepliesRequest(
            channel_id=channel_id,
            parent_message_id=parent_message_id,
            order=LIST_ORDER_DESCENDING if descending else LIST_ORDER_ASCENDING,
            start_sequence=start_sequence,
            page_size=page_size or 0,
        )
        return AsyncPager(self._calls, _LIST, request, lambda page: page.replies, timeout)

    def participants(
        self,
        channel_id: str,
        parent_message_id: str,
        *,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[ThreadParticipant]:
        """Lists who has replies in the thread that are not deleted, by user id.

        Args:
            channel_id: the channel of the parent.
            parent_message_id: the message above the thread.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            MessageNotFound: while iterating, if there is no such message.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListThreadParticipantsRequest(
            channel_id=channel_id, parent_message_id=parent_message_id, page_size=page_size or 0
        )
        return AsyncPager(
            self._calls, _PARTICIPANTS, request, lambda page: page.participants, timeout
        )
