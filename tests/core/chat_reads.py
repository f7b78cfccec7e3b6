"""What every reader of chat sees, compared with the model: each invariant is a function here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gapless.v1.channels_pb2 import GetChannelRequest, ListChannelsRequest
from gapless.v1.memberships_pb2 import (
    CheckMembershipRequest,
    ListMembershipsRequest,
    ListMembersRequest,
)
from gapless.v1.messages_pb2 import LIST_ORDER_DESCENDING, ListMessagesRequest, Message
from gapless.v1.notification_settings_pb2 import GetNotificationSettingRequest
from gapless.v1.push_subscriptions_pb2 import ListPushSubscriptionsRequest
from gapless.v1.reactions_pb2 import GetReactionCountsRequest, ListReactionsRequest
from gapless.v1.read_markers_pb2 import GetReadMarkerRequest, ListReadMarkersRequest
from gapless.v1.threads_pb2 import ListRepliesRequest, ListThreadParticipantsRequest
from tests.core.chat_model import ChatModel, ModelChannel, ModelMessage
from tests.core.story import Story

# All who ever do something.
USERS = ("ann", "bob")


def channels_are_as_the_model_says(story: Story, model: ChatModel) -> None:
    found = [one.channel_id for one in story.read(ListChannelsRequest()).channels]
    assert found == sorted(model.channels)
    for channel_id, there in model.channels.items():
        channel = story.read(GetChannelRequest(channel_id=channel_id)).channel
        assert (channel.title, channel.head_sequence) == (there.title, there.head)
        assert channel.HasField("archive_time") == there.archived


def g1_sequences_are_dense_and_lists_agree(story: Story, model: ChatModel) -> None:
    for channel_id, there in model.channels.items():
        found = _pages(story, ListMessagesRequest(channel_id=channel_id), "messages")
        sequences = [message.sequence for message in found]
        assert sequences == list(range(there.first_sequence, there.head + 1))
        assert [_seen(message) for message in found] == [_expected(one) for one in there.shown]
        downwards = ListMessagesRequest(channel_id=channel_id, order=LIST_ORDER_DESCENDING)
        assert _pages(story, downwards, "messages") == found[::-1]


def g1_threads_are_dense_and_their_counts_are_recounts(story: Story, model: ChatModel) -> None:
    for channel_id, there in model.channels.items():
        for parent in [message for message in there.messages if not message.parent_id]:
            _compare_thread(story, channel_id, there, parent)


def reactions_are_a_set_and_their_counts_are_recounts(story: Story, model: ChatModel) -> None:
    for channel_id, there in model.channels.items():
        for message in [one for one in there.messages if not one.deleted]:
            about: dict[str, Any] = {"channel_id": channel_id, "message_id": message.message_id}
            found = _pages(story, ListReactionsRequest(**about), "reactions")
            assert [(one.emoji, one.user_id) for one in found] == sorted(message.reactions)
            counts = story.read(GetReactionCountsRequest(**about)).counts
            recount = Counter(each for each, _user in message.reactions)
            assert [(one.emoji, one.count) for one in counts] == sorted(recount.items())


def memberships_and_markers_are_as_the_model_says(story: Story, model: ChatModel) -> None:
    for channel_id, there in model.channels.items():
        page = story.read(ListMembersRequest(channel_id=channel_id))
        assert [one.user_id for one in page.memberships] == sorted(there.members)
        for user_id in USERS:
            about: dict[str, Any] = {"channel_id": channel_id, "user_id": user_id}
            is_member = story.read(CheckMembershipRequest(**about)).is_member
            assert is_member == (user_id in there.members)
            marker = story.read(GetReadMarkerRequest(**about)).marker
            assert marker.sequence == there.marker(user_id)
            assert marker.unread_count == there.head - marker.sequence
            setting = story.read(GetNotificationSettingRequest(**about)).setting
            assert (setting.level, setting.position) == there.levels.get(user_id, (0, 0))


def what_users_have_is_as_the_model_says(story: Story, model: ChatModel) -> None:
    for user_id in USERS:
        joined = sorted(
            channel_id for channel_id, there in model.channels.items() if user_id in there.members
        )
        page = story.read(ListMembershipsRequest(user_id=user_id))
        assert [one.channel_id for one in page.memberships] == joined
        markers = story.read(ListReadMarkersRequest(user_id=user_id)).markers
        assert [one.channel_id for one in markers] == joined
        page = story.read(ListPushSubscriptionsRequest(user_id=user_id))
        assert [(one.endpoint, one.p256dh_key) for one in page.subscriptions] == sorted(
            (endpoint, key)
            for endpoint, (owner, key) in model.endpoints.items()
            if owner == user_id
        )


def _pages(story: Story, request: Any, items: str) -> list[Any]:
    """Returns a whole list, read in pages of three."""
    found: list[Any] = []
    request.page_size = 3
    while True:
        page = story.read(request)
        found += getattr(page, items)
        if not page.next_page_token:
            return found
        assert page.next_page_token != request.page_token
        request.page_token = page.next_page_token


def _seen(message: Message) -> tuple[object, ...]:
    """What a reader sees of a message that the model knows too."""
    return (
        message.message_id,
        message.sender_id,
        message.body.data.decode(),
        message.parent_message_id,
        message.sequence,
        message.thread_sequence,
        message.version,
        message.HasField("delete_time"),
    )


def _expected(message: ModelMessage) -> tuple[object, ...]:
    return (
        message.message_id,
        message.sender_id,
        message.text,
        message.parent_id,
        message.sequence,
        message.thread_sequence,
        message.version,
        message.deleted,
    )


def _compare_thread(
    story: Story, channel_id: str, there: ModelChannel, parent: ModelMessage
) -> None:
    about: dict[str, Any] = {"channel_id": channel_id, "parent_message_id": parent.message_id}
    replies = there.replies(parent.message_id)
    live = there.live_replies(parent.message_id)
    found = _pages(story, ListRepliesRequest(**about), "replies")
    assert [message.thread_sequence for message in found] == list(range(1, len(replies) + 1))
    assert [_seen(message) for message in found] == [_expected(one) for one in replies]
    request = ListThreadParticipantsRequest(**about)
    written = [(one.user_id, one.reply_count) for one in story.read(request).participants]
    assert written == sorted(Counter(message.sender_id for message in live).items())
    if not replies:
        return
    for shown in _pages(story, ListMessagesRequest(channel_id=channel_id), "messages"):
        if shown.message_id == parent.message_id:
            assert shown.thread.reply_count == len(live)
            assert shown.thread.head_sequence == len(replies)
            assert shown.thread.participant_count == len(written)
            assert shown.thread.HasField("last_reply_time") == bool(live)
            if live:
                newest = found[live[-1].thread_sequence - 1]
                assert shown.thread.last_reply_time == newest.create_time


# Each of them holds after every command.
COMPARISONS = (
    channels_are_as_the_model_says,
    g1_sequences_are_dense_and_lists_agree,
    g1_threads_are_dense_and_their_counts_are_recounts,
    reactions_are_a_set_and_their_counts_are_recounts,
    memberships_and_markers_are_as_the_model_says,
    what_users_have_is_as_the_model_says,
)
