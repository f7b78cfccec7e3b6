"""Short ways to say the commands and reads of the chat kinds, for the tests of those kinds."""

from __future__ import annotations

from gapless.v1.channels_pb2 import (
    ArchiveChannelRequest,
    Channel,
    CreateChannelRequest,
    GetChannelRequest,
)
from gapless.v1.common_pb2 import Body
from gapless.v1.memberships_pb2 import JoinChannelRequest, LeaveChannelRequest
from gapless.v1.messages_pb2 import (
    DeleteMessageRequest,
    EditMessageRequest,
    GetMessageRequest,
    Message,
    PostMessageRequest,
)
from gapless.v1.reactions_pb2 import (
    AddReactionRequest,
    RemoveReactionRequest,
    ToggleReactionRequest,
)
from gapless.v1.read_markers_pb2 import MarkReadRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from tests.core.story import Story

GENERAL = "general"
ANN = "ann"
BOB = "bob"
ROOT = "root"
THUMBS_UP = "thumbsup"


def text(value: str) -> Body:
    return Body(data=value.encode(), content_type="text/plain")


def channel(
    channel_id: str = GENERAL, first_sequence: int | None = None, title: str = ""
) -> CreateChannelRequest:
    return CreateChannelRequest(channel_id=channel_id, first_sequence=first_sequence, title=title)


def archive(channel_id: str = GENERAL) -> ArchiveChannelRequest:
    return ArchiveChannelRequest(channel_id=channel_id)


def post(
    message_id: str = "", sender_id: str = ANN, channel_id: str = GENERAL
) -> PostMessageRequest:
    return PostMessageRequest(
        channel_id=channel_id, message_id=message_id, sender_id=sender_id, body=text("hello")
    )


def edit(
    message_id: str, value: str = "edited", expected_version: int | None = None
) -> EditMessageRequest:
    return EditMessageRequest(
        channel_id=GENERAL,
        message_id=message_id,
        body=text(value),
        expected_version=expected_version,
    )


def delete(
    message_id: str, expected_version: int | None = None, *, fail_if_unchanged: bool = False
) -> DeleteMessageRequest:
    return DeleteMessageRequest(
        channel_id=GENERAL,
        message_id=message_id,
        expected_version=expected_version,
        fail_if_unchanged=fail_if_unchanged,
    )


def reply(
    message_id: str = "",
    sender_id: str = ANN,
    parent_id: str = ROOT,
    *,
    show_in_channel: bool = False,
) -> PostReplyRequest:
    return PostReplyRequest(
        channel_id=GENERAL,
        parent_message_id=parent_id,
        message_id=message_id,
        sender_id=sender_id,
        body=text("indeed"),
        show_in_channel=show_in_channel,
    )


def add(
    user_id: str = ANN,
    emoji: str = THUMBS_UP,
    message_id: str = ROOT,
    *,
    fail_if_unchanged: bool = False,
) -> AddReactionRequest:
    return AddReactionRequest(
        channel_id=GENERAL,
        message_id=message_id,
        user_id=user_id,
        emoji=emoji,
        fail_if_unchanged=fail_if_unchanged,
    )


def remove(
    user_id: str = ANN,
    emoji: str = THUMBS_UP,
    message_id: str = ROOT,
    *,
    fail_if_unchanged: bool = False,
) -> RemoveReactionRequest:
    return RemoveReactionRequest(
        channel_id=GENERAL,
        message_id=message_id,
        user_id=user_id,
        emoji=emoji,
        fail_if_unchanged=fail_if_unchanged,
    )


def toggle(
    user_id: str = ANN, emoji: str = THUMBS_UP, message_id: str = ROOT
) -> ToggleReactionRequest:
    return ToggleReactionRequest(
        channel_id=GENERAL, message_id=message_id, user_id=user_id, emoji=emoji
    )


def join(
    user_id: str = ANN, channel_id: str = GENERAL, *, fail_if_unchanged: bool = False
) -> JoinChannelRequest:
    return JoinChannelRequest(
        channel_id=channel_id, user_id=user_id, fail_if_unchanged=fail_if_unchanged
    )


def leave(
    user_id: str = ANN, channel_id: str = GENERAL, *, fail_if_unchanged: bool = False
) -> LeaveChannelRequest:
    return LeaveChannelRequest(
        channel_id=channel_id, user_id=user_id, fail_if_unchanged=fail_if_unchanged
    )


def mark(sequence: int, user_id: str = ANN, channel_id: str = GENERAL) -> MarkReadRequest:
    return MarkReadRequest(channel_id=channel_id, user_id=user_id, sequence=sequence)


def message_of(story: Story, message_id: str) -> Message:
    """Returns a message as a reader sees it now."""
    message: Message = story.read(
        GetMessageRequest(channel_id=GENERAL, message_id=message_id)
    ).message
    return message


def channel_of(story: Story, channel_id: str = GENERAL) -> Channel:
    """Returns a channel as a reader sees it now."""
    found: Channel = story.read(GetChannelRequest(channel_id=channel_id)).channel
    return found
