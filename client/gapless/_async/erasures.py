"""Erasures: content that has to be gone for good."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._commands import CommandKind
from gapless._request_ids import new_request_id
from gapless.v1.erasures_pb2 import (
    RedactMessageRequest,
    RedactMessageResponse,
    RedactUserRequest,
    RedactUserResponse,
)

_MESSAGE: Final = CommandKind("redact_message", RedactMessageResponse)
_USER: Final = CommandKind("redact_user", RedactUserResponse)


class Erasures:
    """Takes content out of messages, and out of the log; ``client.erasures``.

    With the answer it is out of everything that can be read; ``erasure_pending`` of
    ``client.operations.get_namespace()`` is False once it is out of every file of the service.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def redact_message(
        self,
        channel_id: str,
        message_id: str,
        requested_by: str,
        *,
        reason: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RedactMessageResponse:
        """Erases the content of one message, reply or tombstone, as posted and as ever edited.

        Args:
            channel_id: its channel.
            message_id: the message.
            requested_by: who asks for it, for the record.
            reason: why, for the record; at most 1,024 characters.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The receipt; ``changed`` is False if there was nothing left to erase.

        Raises:
            ChannelNotFound: there is no such channel.
            MessageNotFound: there is no such message.
            GaplessError: any other failure.
        """
        request = RedactMessageRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            message_id=message_id,
            requested_by=requested_by,
            reason=reason,
        )
        return await self._calls.submit(_MESSAGE, request, timeout)

    async def redact_user(
        self,
        channel_id: str,
        sender_id: str,
        requested_by: str,
        *,
        reason: str = "",
        after_message_id: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RedactUserResponse:
        """Erases the content of up to 100 messages that a user posted to a channel.

        Call it again with the ``next_after_message_id`` of the answer until that is empty. What
        is posted meanwhile can be missed: keep the user from posting first.

        Args:
            channel_id: the channel.
            sender_id: who posted the messages.
            requested_by: who asks for it, for the record.
            reason: why, for the record; at most 1,024 characters.
            after_message_id: look at messages with larger ids only. Empty: at all.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            Which messages were erased, where to go on, and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = RedactUserRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            sender_id=sender_id,
            requested_by=requested_by,
            reason=reason,
            after_message_id=after_message_id,
        )
        return await self._calls.submit(_USER, request, timeout)
