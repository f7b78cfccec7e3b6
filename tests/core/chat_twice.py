"""Chat twice: every command runs on the kernel and on the model, and the answers are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from gapless.v1.channels_pb2 import (
    ArchiveChannelRequest,
    CreateChannelRequest,
)
from gapless.v1.memberships_pb2 import (
    JoinChannelRequest,
    LeaveChannelRequest,
)
from gapless.v1.messages_pb2 import (
    DeleteMessageRequest,
    EditMessageRequest,
    PostMessageRequest,
)
from gapless.v1.notification_settings_pb2 import (
    SetNotificationSettingRequest,
)
from gapless.v1.push_subscriptions_pb2 import (
    RemovePushSubscriptionRequest,
    UpsertPushSubscriptionRequest,
)
from gapless.v1.reactions_pb2 import (
    TOGGLE_OUTCOME_ADDED,
    TOGGLE_OUTCOME_REMOVED,
    AddReactionRequest,
    RemoveReactionRequest,
    ToggleReactionRequest,
)
from gapless.v1.read_markers_pb2 import (
    MarkReadRequest,
)
from gapless.v1.threads_pb2 import (
    PostReplyRequest,
)
from tests.core.chat_commands import text
from tests.core.chat_model import (
    ChatModel,
    ModelRefusal,
    Outcome,
)
from tests.core.story import Story

# The index of a message that a channel does not have.
MISSING_INDEX = 8


class ChatTwice:
    """A story and a model that are told the same, a method a command."""

    def __init__(self) -> None:
        self.story = Story()
        self.model = ChatModel()

    def message_at(self, channel_id: str, index: int) -> str:
        """Returns the id of a channel's message or reply, or one that the channel does not have."""
        there = self.model.channels.get(channel_id)
        if there is None or not there.messages or index == MISSING_INDEX:
            return "missing"
        return there.messages[index % len(there.messages)].message_id

    def parent_at(self, channel_id: str, index: int) -> str:
        """Returns the id of a message to reply to: mostly one that is not itself a reply."""
        there = self.model.channels.get(channel_id)
        if there is None or index >= MISSING_INDEX // 2:
            return self.message_at(channel_id, index)
        posts = [message for message in there.messages if not message.parent_id]
        return posts[index % len(posts)].message_id if posts else "missing"

    def run_both(self, command: Message, expected: Callable[[], Outcome]) -> Any:
        """Runs a command on both. Returns the answer, whose fields are then to be compared."""
        try:
            outcome = expected()
        except ModelRefusal as refusal:
            self.story.then_refused(command, str(refusal))
            return None
        answer = self.story.when(command)
        assert bool(self.story.then_events()) == outcome.changed
        for name, value in outcome.answer.items():
            assert _answered(answer, name) == value, name
        return answer

    def create(self, channel_id: str, first_sequence: int, title: str) -> None:
        command = CreateChannelRequest(
            channel_id=channel_id, first_sequence=first_sequence, title=title
        )
        self.run_both(command, lambda: self.model.create(channel_id, first_sequence, title))

    def archive(self, channel_id: str) -> None:
        command = ArchiveChannelRequest(channel_id=channel_id)
        self.run_both(command, lambda: self.model.archive(channel_id))

    def post(self, channel_id: str, message_id: str, user_id: str) -> None:
        command = PostMessageRequest(
            channel_id=channel_id, message_id=message_id, sender_id=user_id, body=text("hello")
        )
        made = message_id or f"made-{self.story.moment.position}-1"
        self.run_both(command, lambda: self.model.post(channel_id, made, user_id, "hello"))

    def reply(
        self, channel_id: str, index: int, message_id: str, user_id: str, *, shown: bool
    ) -> None:
        parent_id = self.parent_at(channel_id, index)
        command = PostReplyRequest(
            channel_id=channel_id,
            parent_message_id=parent_id,
            message_id=message_id,
            sender_id=user_id,
            body=text(""),
            show_in_channel=shown,
        )
        made = message_id or f"made-{self.story.moment.position}-1"
        self.run_both(
            command,
            lambda: self.model.reply(channel_id, parent_id, made, user_id, shown=shown),
        )

    def edit(self, channel_id: str, index: int, version: int | None) -> None:
        message_id = self.message_at(channel_id, index)
        value = f"edited at {self.story.moment.position}"
        command = EditMessageRequest(
            channel_id=channel_id,
            message_id=message_id,
            body=text(value),
            expected_version=version,
        )
        self.run_both(command, lambda: self.model.edit(channel_id, message_id, value, version))

    def delete(self, channel_id: str, index: int, version: int | None, *, strict: bool) -> None:
        message_id = self.message_at(channel_id, index)
        command = DeleteMessageRequest(
            channel_id=channel_id,
            message_id=message_id,
            expected_version=version,
            fail_if_unchanged=strict,
        )
        self.run_both(
            command, lambda: self.model.delete(channel_id, message_id, version, strict=strict)
        )

    def add(self, channel_id: str, index: int, user_id: str, each: str, *, strict: bool) -> None:
        message_id = self.message_at(channel_id, index)
        command = AddReactionRequest(
            channel_id=channel_id,
            message_id=message_id,
            user_id=user_id,
            emoji=each,
            fail_if_unchanged=strict,
        )
        self.run_both(
            command, lambda: self.model.add(channel_id, message_id, user_id, each, strict=strict)
        )

    def remove(self, channel_id: str, index: int, user_id: str, each: str, *, strict: bool) -> None:
        message_id = self.message_at(channel_id, index)
        command = RemoveReactionRequest(
            channel_id=channel_id,
            message_id=message_id,
            user_id=user_id,
            emoji=each,
            fail_if_unchanged=strict,
        )
        self.run_both(
            command,
            lambda: self.model.remove(channel_id, message_id, user_id, each, strict=strict),
        )

    def toggle(self, channel_id: str, index: int, user_id: str, each: str) -> None:
        message_id = self.message_at(channel_id, index)
        command = ToggleReactionRequest(
            channel_id=channel_id, message_id=message_id, user_id=user_id, emoji=each
        )
        self.run_both(command, lambda: self.model.toggle(channel_id, message_id, user_id, each))

    def join(self, channel_id: str, user_id: str, *, strict: bool) -> None:
        command = JoinChannelRequest(
            channel_id=channel_id, user_id=user_id, fail_if_unchanged=strict
        )
        self.run_both(command, lambda: self.model.join(channel_id, user_id, strict=strict))

    def leave(self, channel_id: str, user_id: str, *, strict: bool) -> None:
        command = LeaveChannelRequest(
            channel_id=channel_id, user_id=user_id, fail_if_unchanged=strict
        )
        self.run_both(command, lambda: self.model.leave(channel_id, user_id, strict=strict))

    def mark(self, channel_id: str, user_id: str, sequence: int) -> None:
        command = MarkReadRequest(channel_id=channel_id, user_id=user_id, sequence=sequence)
        self.run_both(command, lambda: self.model.mark(channel_id, user_id, sequence))

    def set_level(self, channel_id: str, user_id: str, level: int) -> None:
        command = SetNotificationSettingRequest(channel_id=channel_id, user_id=user_id)
        command.level = level  # type: ignore[assignment]  # a plain number, as on the wire
        position = self.story.moment.position
        self.run_both(command, lambda: self.model.set_level(channel_id, user_id, level, position))

    def upsert(self, user_id: str, endpoint: str, key: bytes) -> None:
        command = UpsertPushSubscriptionRequest(user_id=user_id, endpoint=endpoint, p256dh_key=key)
        self.run_both(command, lambda: self.model.upsert(user_id, endpoint, key))

    def unsubscribe(self, user_id: str, endpoint: str, *, strict: bool) -> None:
        command = RemovePushSubscriptionRequest(
            user_id=user_id, endpoint=endpoint, fail_if_unchanged=strict
        )
        self.run_both(command, lambda: self.model.unsubscribe(user_id, endpoint, strict=strict))


def _answered(answer: Any, name: str) -> object:
    """Returns what an answer says, under the model's name for it."""
    match name:
        case "head":
            return answer.channel.head_sequence
        case "unread":
            return answer.marker.unread_count
        case "level" | "position":
            return getattr(answer.setting, name)
        case "sequence" if hasattr(answer, "marker"):
            return answer.marker.sequence
        case "outcome":
            names = {TOGGLE_OUTCOME_ADDED: "added", TOGGLE_OUTCOME_REMOVED: "removed"}
            return names[answer.outcome]
    return getattr(answer, name)
