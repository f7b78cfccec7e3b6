"""Sends one planned command through the SDK."""

from __future__ import annotations

from typing import Protocol

from gapless import AsyncClient
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.common_pb2 import Receipt
from gapless.v1.memberships_pb2 import JoinChannelRequest, LeaveChannelRequest
from gapless.v1.messages_pb2 import DeleteMessageRequest, EditMessageRequest, PostMessageRequest
from gapless.v1.reactions_pb2 import AddReactionRequest, RemoveReactionRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from gapless_server.slack.plan import Request


class Answer(Protocol):
    """What the answers to all commands have."""

    @property
    def receipt(self) -> Receipt:
        """Where and when the command was committed."""
        ...


async def send(client: AsyncClient, command: Request) -> Answer:
    """Sends a command with the request id that it has. Raises GaplessError."""
    request_id = command.request_id
    match command:
        case CreateChannelRequest():
            return await client.channels.create(
                channel_id=command.channel_id, request_id=request_id
            )
        case PostMessageRequest():
            return await client.messages.post(
                command.channel_id,
                command.sender_id,
                command.body,
                attributes=command.attributes,
                message_id=command.message_id,
                request_id=request_id,
            )
        case PostReplyRequest():
            return await client.threads.reply(
                command.channel_id,
                command.parent_message_id,
                command.sender_id,
                command.body,
                attributes=command.attributes,
                message_id=command.message_id,
                show_in_channel=command.show_in_channel,
                request_id=request_id,
            )
        case EditMessageRequest():
            return await client.messages.edit(
                command.channel_id,
                command.message_id,
                command.body,
                attributes=command.attributes,
                request_id=request_id,
            )
        case DeleteMessageRequest():
            return await client.messages.delete(
                command.channel_id, command.message_id, request_id=request_id
            )
        case JoinChannelRequest():
            return await client.memberships.join(
                command.channel_id, command.user_id, request_id=request_id
            )
        case LeaveChannelRequest():
            return await client.memberships.leave(
                command.channel_id, command.user_id, request_id=request_id
            )
        case AddReactionRequest() | RemoveReactionRequest():
            return await _send_reaction(client, command)


async def _send_reaction(
    client: AsyncClient, command: AddReactionRequest | RemoveReactionRequest
) -> Answer:
    reactions = client.reactions
    change = reactions.add if isinstance(command, AddReactionRequest) else reactions.remove
    return await change(
        command.channel_id,
        command.message_id,
        command.user_id,
        command.emoji,
        request_id=command.request_id,
    )
