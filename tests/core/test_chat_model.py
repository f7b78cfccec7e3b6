"""Chat against a model of plain dictionaries: whatever is tried, in whatever order."""

from __future__ import annotations

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
    CreateChannelRequest,
)
from gapless.v1.memberships_pb2 import (
    JoinChannelRequest,
)
from gapless.v1.messages_pb2 import (
    DeleteMessageRequest,
    PostMessageRequest,
)
from gapless.v1.read_markers_pb2 import (
    MarkReadRequest,
)
from gapless.v1.threads_pb2 import (
    PostReplyRequest,
)
from gapless_server.core.refusals import Refused
from tests.core.chat_model import (
    EMOJI_MAX,
)
from tests.core.chat_reads import COMPARISONS, USERS
from tests.core.chat_twice import MISSING_INDEX, ChatTwice

# Few of each, so that commands meet each other; one in eight is of a channel that is not there.
channels = st.sampled_from(["one", "one", "one", "one", "one", "one", "two", "missing"])
indexes = st.sampled_from(range(MISSING_INDEX + 1))
new_messages = st.sampled_from(["", "", "", "", "", "", "b", "c"])
users = st.sampled_from(USERS)
endpoints = st.sampled_from(["phone", "laptop"])
emoji = st.sampled_from(["heart", "thumbsup"])
flags = st.booleans()
first_sequences = st.sampled_from([1, 100])
marks = st.sampled_from([1, 2, 3, 100, 101, 102, 10**9])
ENTRIES_BEFORE_ARCHIVING = 30
versions = st.sampled_from([None, None, None, None, 1, 2])


class ChatMachine(RuleBasedStateMachine):
    """Tries commands of every kind. Those that undo each other share a rule: a run has both."""

    def __init__(self) -> None:
        super().__init__()
        self.chat = ChatTwice()
        self.limit_tried = False
        self.entries_compared = 0

    @initialize(first_sequence=first_sequences)
    def begin(self, first_sequence: int) -> None:
        self.chat.create("one", first_sequence, "x")
        self.chat.create("two", 1, "x")
        self.chat.post("one", "a", "ann")

    @rule(
        channel_id=channels,
        first_sequence=first_sequences,
        title=st.sampled_from("xy"),
        archives=flags,
    )
    def manage(self, channel_id: str, first_sequence: int, title: str, *, archives: bool) -> None:
        # Late only: not much happens in a channel after it.
        if archives and len(self.chat.story.entries) > ENTRIES_BEFORE_ARCHIVING:
            self.chat.archive(channel_id)
        else:
            self.chat.create(channel_id, first_sequence, title)

    @rule(channel_id=channels, message_id=new_messages, user_id=users)
    def post(self, channel_id: str, message_id: str, user_id: str) -> None:
        self.chat.post(channel_id, message_id, user_id)

    @rule(channel_id=channels, index=indexes, message_id=new_messages, user_id=users, shown=flags)
    def reply(
        self, channel_id: str, index: int, message_id: str, user_id: str, *, shown: bool
    ) -> None:
        self.chat.reply(channel_id, index, message_id, user_id, shown=shown)

    @rule(channel_id=channels, index=indexes, version=versions, deletes=flags, strict=flags)
    def change(
        self, channel_id: str, index: int, version: int | None, *, deletes: bool, strict: bool
    ) -> None:
        if deletes:
            self.chat.delete(channel_id, index, version, strict=strict)
        else:
            self.chat.edit(channel_id, index, version)

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
            self.chat.toggle(channel_id, index, user_id, each)
        elif way == "add":
            self.chat.add(channel_id, index, user_id, each, strict=strict)
        else:
            self.chat.remove(channel_id, index, user_id, each, strict=strict)

    @rule(channel_id=channels, index=indexes, user_id=users)
    @precondition(lambda machine: not machine.limit_tried)
    def add_nearly_all(self, channel_id: str, index: int, user_id: str) -> None:
        """Brings a message close to the limit, once: it takes many commands."""
        self.limit_tried = True
        known = self.chat.message_at(channel_id, index) != "missing"
        for n in range(EMOJI_MAX - 1 if known else 1):
            self.chat.add(channel_id, index, user_id, f"emoji-{n}", strict=False)

    @rule(
        channel_id=channels,
        user_id=users,
        way=st.sampled_from(["join", "leave", "mark", "mark", "set level"]),
        sequence=marks,
        strict=flags,
    )
    def live(self, channel_id: str, user_id: str, way: str, sequence: int, *, strict: bool) -> None:
        """What a user does about a channel, apart from writing in it."""
        match way:
            case "join":
                self.chat.join(channel_id, user_id, strict=strict)
            case "leave":
                self.chat.leave(channel_id, user_id, strict=strict)
            case "mark":
                self.chat.mark(channel_id, user_id, sequence)
            case _:
                self.chat.set_level(channel_id, user_id, 1 + sequence % 3)

    @rule(user_id=users, endpoint=endpoints, key=st.sampled_from([b"", b"k", None]), strict=flags)
    def subscribe(self, user_id: str, endpoint: str, key: bytes | None, *, strict: bool) -> None:
        if key is None:
            self.chat.unsubscribe(user_id, endpoint, strict=strict)
        else:
            self.chat.upsert(user_id, endpoint, key)

    @rule(channel_id=channels, index=indexes, user_id=users)
    def fail_a_batch(self, channel_id: str, index: int, user_id: str) -> None:
        """Whatever of it succeeded is taken back (G5); the model never hears of it."""
        message_id = self.chat.message_at(channel_id, index)
        story = self.chat.story
        before, entries_before = story.state.digest(), len(story.entries)
        story.state.undo.begin()
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
                story.when(command)
            except Refused:
                continue
        story.state.undo.roll_back()
        del story.entries[entries_before:], story._moments[entries_before:]
        assert story.state.digest() == before

    @invariant()
    def reads_are_as_the_model_says(self) -> None:
        """Held after every command that made an entry; a refusal is held to change nothing."""
        entries = len(self.chat.story.entries)
        if entries > self.entries_compared:
            self.entries_compared = entries
            for compare in COMPARISONS:
                compare(self.chat.story, self.chat.model)

    def teardown(self) -> None:
        self.chat.story.assert_sound()


TestChatModel = ChatMachine.TestCase
TestChatModel.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
