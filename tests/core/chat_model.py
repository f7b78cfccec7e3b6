"""A model of chat that is as simple as can be: objects in dictionaries, everything else recounted.

Nothing is kept that can be counted from the messages, so the model has no counter that could
drift. It knows nothing of events, tables or protobuf.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

EMOJI_MAX = 64


class ModelRefusal(Exception):
    """The model says that the command must be refused, for the reason in the text."""


class Outcome(NamedTuple):
    """What the model says about a command that succeeds."""

    changed: bool
    answer: dict[str, object]


@dataclass
class ModelMessage:
    message_id: str
    sender_id: str
    text: str
    parent_id: str
    sequence: int
    thread_sequence: int
    version: int = 1
    deleted: bool = False
    reactions: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class ModelChannel:
    first_sequence: int
    title: str
    archived: bool = False
    messages: list[ModelMessage] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    levels: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def shown(self) -> list[ModelMessage]:
        """What has a channel sequence, in the order in which it came."""
        return [message for message in self.messages if message.sequence]

    @property
    def head(self) -> int:
        return self.first_sequence - 1 + len(self.shown)

    def replies(self, parent_id: str) -> list[ModelMessage]:
        return [message for message in self.messages if message.parent_id == parent_id]

    def live_replies(self, parent_id: str) -> list[ModelMessage]:
        return [message for message in self.replies(parent_id) if not message.deleted]

    def message(self, message_id: str) -> ModelMessage:
        for message in self.messages:
            if message.message_id == message_id:
                return message
        raise ModelRefusal("MESSAGE_NOT_FOUND")

    def live_message(self, message_id: str) -> ModelMessage:
        message = self.message(message_id)
        if message.deleted:
            raise ModelRefusal("MESSAGE_DELETED")
        return message

    def marker(self, user_id: str) -> int:
        return self.marks.get(user_id, self.first_sequence - 1)


class ChatModel:
    """The whole namespace. Each method is a command: it returns an outcome or raises a refusal."""

    def __init__(self) -> None:
        self.channels: dict[str, ModelChannel] = {}
        self.endpoints: dict[str, tuple[str, bytes]] = {}

    def channel(self, channel_id: str) -> ModelChannel:
        if channel_id not in self.channels:
            raise ModelRefusal("CHANNEL_NOT_FOUND")
        return self.channels[channel_id]

    def create(self, channel_id: str, first_sequence: int, title: str) -> Outcome:
        if channel_id not in self.channels:
            self.channels[channel_id] = ModelChannel(first_sequence, title)
            return Outcome(True, {"head": first_sequence - 1})
        there = self.channels[channel_id]
        if (there.first_sequence, there.title) != (first_sequence, title):
            raise ModelRefusal("CHANNEL_ALREADY_EXISTS")
        return Outcome(False, {"head": there.head})

    def archive(self, channel_id: str) -> Outcome:
        there = self.channel(channel_id)
        changed, there.archived = not there.archived, True
        return Outcome(changed, {"head": there.head})

    def post(self, channel_id: str, message_id: str, sender_id: str, text: str) -> Outcome:
        there = self.channel(channel_id)
        self._require_room(there, message_id)
        sequence = there.head + 1
        there.messages.append(ModelMessage(message_id, sender_id, text, "", sequence, 0))
        return Outcome(True, {"message_id": message_id, "sequence": sequence})

    def reply(
        self, channel_id: str, parent_id: str, message_id: str, sender_id: str, *, shown: bool
    ) -> Outcome:
        there = self.channel(channel_id)
        if there.archived:
            raise ModelRefusal("CHANNEL_ARCHIVED")
        if there.live_message(parent_id).parent_id:
            raise ModelRefusal("PARENT_IS_REPLY")
        self._require_room(there, message_id)
        sequence = there.head + 1 if shown else 0
        number = len(there.replies(parent_id)) + 1
        there.messages.append(ModelMessage(message_id, sender_id, "", parent_id, sequence, number))
        return Outcome(
            True,
            {
                "message_id": message_id,
                "sequence": sequence,
                "thread_sequence": number,
                "reply_count": len(there.live_replies(parent_id)),
            },
        )

    def _require_room(self, there: ModelChannel, message_id: str) -> None:
        if there.archived:
            raise ModelRefusal("CHANNEL_ARCHIVED")
        if message_id in [message.message_id for message in there.messages]:
            raise ModelRefusal("MESSAGE_ALREADY_EXISTS")

    def edit(
        self, channel_id: str, message_id: str, text: str, expected_version: int | None
    ) -> Outcome:
        message = self.channel(channel_id).live_message(message_id)
        if expected_version not in (None, message.version):
            raise ModelRefusal("MESSAGE_VERSION_MISMATCH")
        message.text = text
        message.version += 1
        return Outcome(True, {"version": message.version})

    def delete(
        self, channel_id: str, message_id: str, expected_version: int | None, *, strict: bool
    ) -> Outcome:
        message = self.channel(channel_id).message(message_id)
        if message.deleted and strict:
            raise ModelRefusal("MESSAGE_DELETED")
        if message.deleted:
            return Outcome(False, {"version": message.version})
        if expected_version not in (None, message.version):
            raise ModelRefusal("MESSAGE_VERSION_MISMATCH")
        message.deleted, message.text, message.reactions = True, "", set()
        message.version += 1
        return Outcome(True, {"version": message.version})

    def add(
        self, channel_id: str, message_id: str, user_id: str, emoji: str, *, strict: bool
    ) -> Outcome:
        message = self.channel(channel_id).live_message(message_id)
        changed = (emoji, user_id) not in message.reactions
        if not changed and strict:
            raise ModelRefusal("REACTION_ALREADY_EXISTS")
        emoji_after = {each for each, _user in message.reactions} | {emoji}
        if len(emoji_after) > EMOJI_MAX:
            raise ModelRefusal("TOO_MANY_EMOJI")
        message.reactions.add((emoji, user_id))
        return Outcome(changed, {"count": _count(message, emoji)})

    def remove(
        self, channel_id: str, message_id: str, user_id: str, emoji: str, *, strict: bool
    ) -> Outcome:
        message = self.channel(channel_id).live_message(message_id)
        changed = (emoji, user_id) in message.reactions
        if not changed and strict:
            raise ModelRefusal("REACTION_NOT_FOUND")
        message.reactions.discard((emoji, user_id))
        return Outcome(changed, {"count": _count(message, emoji)})

    def toggle(self, channel_id: str, message_id: str, user_id: str, emoji: str) -> Outcome:
        message = self.channel(channel_id).live_message(message_id)
        if (emoji, user_id) in message.reactions:
            outcome = self.remove(channel_id, message_id, user_id, emoji, strict=True)
            return Outcome(True, outcome.answer | {"outcome": "removed"})
        outcome = self.add(channel_id, message_id, user_id, emoji, strict=True)
        return Outcome(True, outcome.answer | {"outcome": "added"})

    def join(self, channel_id: str, user_id: str, *, strict: bool) -> Outcome:
        members = self.channel(channel_id).members
        changed = user_id not in members
        if not changed and strict:
            raise ModelRefusal("MEMBERSHIP_ALREADY_EXISTS")
        members.add(user_id)
        return Outcome(changed, {})

    def leave(self, channel_id: str, user_id: str, *, strict: bool) -> Outcome:
        members = self.channel(channel_id).members
        changed = user_id in members
        if not changed and strict:
            raise ModelRefusal("MEMBERSHIP_NOT_FOUND")
        members.discard(user_id)
        return Outcome(changed, {})

    def mark(self, channel_id: str, user_id: str, sequence: int) -> Outcome:
        there = self.channel(channel_id)
        before = there.marker(user_id)
        after = max(before, min(sequence, there.head))
        there.marks[user_id] = after
        return Outcome(after != before, {"sequence": after, "unread": there.head - after})

    def set_level(self, channel_id: str, user_id: str, level: int, position: int) -> Outcome:
        levels = self.channel(channel_id).levels
        changed = user_id not in levels or levels[user_id][0] != level
        if changed:
            levels[user_id] = (level, position)
        return Outcome(changed, {"level": level, "position": levels[user_id][1]})

    def upsert(self, user_id: str, endpoint: str, key: bytes) -> Outcome:
        changed = self.endpoints.get(endpoint) != (user_id, key)
        self.endpoints[endpoint] = (user_id, key)
        return Outcome(changed, {})

    def unsubscribe(self, user_id: str, endpoint: str, *, strict: bool) -> Outcome:
        changed = endpoint in self.endpoints and self.endpoints[endpoint][0] == user_id
        if not changed and strict:
            raise ModelRefusal("PUSH_SUBSCRIPTION_NOT_FOUND")
        if changed:
            del self.endpoints[endpoint]
        return Outcome(changed, {})


def _count(message: ModelMessage, emoji: str) -> int:
    return Counter(each for each, _user in message.reactions)[emoji]
