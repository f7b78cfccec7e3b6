"""Chat against a model of plain dictionaries: whatever is tried, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message as AnyMessage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

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
from gapless_server.core.refusals import Refused
from tests.core.chat_commands import text
from tests.core.chat_model import (
    EMOJI_MAX,
    ChatModel,
    ModelRefusal,
    Outcome,
)
from tests.core.chat_reads import COMPARISONS, USERS
from tests.core.story import Story

ENDPOINTS = ["phone", "laptop"]

# Few of each, so that commands meet each other; one in eight is of a channel that is not there.
channels = st.sampled_from(["one", "one", "one", "one", "one", "two", "two", "missing"])
# Which of a channel's messages; one of the indexes is of a message that is not there.
MISSING_INDEX = 8
indexes = st.sampled_from(range(MISSING_INDEX + 1))
new_messages = st.sampled_from(["", "", "", "", "b", "c"])
users = st.sampled_from(USERS)
emoji = st.sampled_from(["heart", "thumbsup"])
flags = st.booleans()
first_sequences = st.sampled_from([1, 100])
marks = st.sampled_from([1, 2, 3, 100, 101, 102, 10**9])
versions = st.sampled_from([None, None, None, None, 1, 2])


class ChatMachine(RuleBasedStateMachine):
    """Runs commands on the kernel and on the model, and compares answers and reads."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.model = ChatModel()
        self.limit_tried = False
        self.entries_compared = 0

    @initialize(first_sequence=first_sequences)
    def begin(self, first_sequence: int) -> None:
        self.create("one", first_sequence, "x")
        self.create("two", 1, "x")
        self.post("one", "a", "ann")

    def message_at(self, channel_id: str, index: int) -> str:
        """Returns the id of a channel's message or reply, or one that the channel does not have."""
        there = self.model.channels.get(channel_id)
        if there is None or not there.messages or index == MISSING_INDEX:
            return "missing"
        return there.messages[index % len(there.messages)].message_id

    def run_both(self, command: AnyMessage, expected: Callable[[], Outcome]) -> Any:
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

    @rule(
        channel_id=channels, first_sequence=st.sampled_from([1, 100]), title=st.sampled_from("xy")
    )
    def create(self, channel_id: str, first_sequence: int, title: str) -> None:
        command = CreateChannelRequest(
            channel_id=channel_id, first_sequence=first_sequence, title=title
        )
        self.run_both(command, lambda: self.model.create(channel_id, first_sequence, title))

    @rule(channel_id=channels, really=st.integers(0, 9))
    def archive(self, channel_id: str, really: int) -> None:
        if really == 9:  # seldom: nothing much happens in a channel after it
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
        parent_id = self.message_at(channel_id, index)
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

    @rule(channel_id=channels, index=indexes, user_id=users)
    @precondition(lambda machine: not machine.limit_tried)
    def add_nearly_all(self, channel_id: str, index: int, user_id: str) -> None:
        """Brings a message close to the limit, once: it takes many commands."""
        self.limit_tried = True
        known = self.message_at(channel_id, index) != "missing"
        for n in range(EMOJI_MAX - 1 if known else 1):
            self.add(channel_id, index, user_id, f"emoji-{n}", strict=False)

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

    @rule(
        channel_id=channels, user_id=users, sequence=st.sampled_from([1, 2, 3, 5, 100, 102, 10**9])
    )
    def mark(self, channel_id: str, user_id: str, sequence: int) -> None:
        command = MarkReadRequest(channel_id=channel_id, user_id=user_id, sequence=sequence)
        self.run_both(command, lambda: self.model.mark(channel_id, user_id, sequence))

    @rule(channel_id=channels, user_id=users, level=st.integers(1, 3))
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

    # Commands that undo each other share a rule, so that runs have both.

    @rule(
        channel_id=channels,
        index=indexes,
        message_id=new_messages,
        user_id=users,
        way=st.sampled_from(["post", "reply", "shown reply"]),
    )
    def write(self, channel_id: str, index: int, message_id: str, user_id: str, way: str) -> None:
        if way == "post":
            self.post(channel_id, message_id, user_id)
        else:
            self.reply(channel_id, index, message_id, user_id, shown=way == "shown reply")

    @rule(channel_id=channels, index=indexes, version=versions, deletes=flags, strict=flags)
    def change(
        self, channel_id: str, index: int, version: int | None, *, deletes: bool, strict: bool
    ) -> None:
        if deletes:
            self.delete(channel_id, index, version, strict=strict)
        else:
            self.edit(channel_id, index, version)

    @rule(
        channel_id=channels,
        index=indexes,
        user_id=users,
        each=emoji,
        way=st.sampled_from(["add", "remove", "toggle"]),
        strict=flags,
    )
    def react(
        self, channel_id: str, index: int, user_id: str, each: str, way: str, *, strict: bool
    ) -> None:
        if way == "toggle":
            self.toggle(channel_id, index, user_id, each)
        elif way == "add":
            self.add(channel_id, index, user_id, each, strict=strict)
        else:
            self.remove(channel_id, index, user_id, each, strict=strict)

    @rule(channel_id=channels, user_id=users, joins=flags, strict=flags)
    def come_or_go(self, channel_id: str, user_id: str, *, joins: bool, strict: bool) -> None:
        if joins:
            self.join(channel_id, user_id, strict=strict)
        else:
            self.leave(channel_id, user_id, strict=strict)

    @rule(
        user_id=users,
        endpoint=st.sampled_from(ENDPOINTS),
        key=st.sampled_from([b"", b"k", None]),
        strict=flags,
    )
    def subscribe(self, user_id: str, endpoint: str, key: bytes | None, *, strict: bool) -> None:
        if key is None:
            self.unsubscribe(user_id, endpoint, strict=strict)
        else:
            self.upsert(user_id, endpoint, key)

    @rule(channel_id=channels, index=indexes, user_id=users)
    def fail_a_batch(self, channel_id: str, index: int, user_id: str) -> None:
        """Whatever of it succeeded is taken back (G5); the model never hears of it."""
        message_id = self.message_at(channel_id, index)
        before, entries_before = self.story.state.digest(), len(self.story.entries)
        self.story.state.undo.begin()
        for command in (
            CreateChannelRequest(channel_id=channel_id),
            PostMessageRequest(channel_id=channel_id, sender_id=user_id),
            PostReplyRequest(
                channel_id=channel_id, parent_message_id=message_id, sender_id=user_id
            ),
            DeleteMessageRequest(channel_id=channel_id, message_id=message_id),
            JoinChannelRequest(channel_id=channel_id, user_id=user_id),
            MarkReadRequest(channel_id=channel_id, user_id=user_id, sequence=10**9),
        ):
            try:
                self.story.when(command)
            except Refused:
                continue
        self.story.state.undo.roll_back()
        del self.story.entries[entries_before:]
        assert self.story.state.digest() == before

    @invariant()
    def reads_are_as_the_model_says(self) -> None:
        """Held after every command that made an entry; a refusal is held to change nothing."""
        if len(self.story.entries) > self.entries_compared:
            self.entries_compared = len(self.story.entries)
            for compare in COMPARISONS:
                compare(self.story, self.model)

    def teardown(self) -> None:
        self.story.assert_sound()


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


TestChatModel = ChatMachine.TestCase
TestChatModel.settings = settings(max_examples=70, stateful_step_count=40, deadline=None)
