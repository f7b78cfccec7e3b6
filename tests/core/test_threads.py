"""Threads: what a reply does to its thread and its channel, given what happened before."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from gapless.v1.channels_pb2 import ChannelArchived, ChannelCreated
from gapless.v1.messages_pb2 import (
    LIST_ORDER_DESCENDING,
    ListMessagesRequest,
    MessageDeleted,
    MessagePosted,
)
from gapless.v1.threads_pb2 import (
    ListRepliesRequest,
    ListThreadParticipantsRequest,
    PostReplyRequest,
    ReplyPosted,
)
from gapless_server.core.times import from_timestamp
from tests.core.chat_commands import (
    ANN,
    BOB,
    GENERAL,
    ROOT,
    channel,
    channel_of,
    delete,
    message_of,
    post,
    reply,
    text,
)
from tests.core.story import START_TIME_US, STEP_US, Story, forged


@pytest.fixture
def story() -> Story:
    """A channel with one message, "root"."""
    return Story().given(channel(), post(ROOT))


def replies_of(story: Story) -> list[tuple[int, str]]:
    page = story.read(ListRepliesRequest(channel_id=GENERAL, parent_message_id=ROOT))
    return [(one.thread_sequence, one.message_id) for one in page.replies]


def participants_of(story: Story) -> dict[str, int]:
    request = ListThreadParticipantsRequest(channel_id=GENERAL, parent_message_id=ROOT)
    return {one.user_id: one.reply_count for one in story.read(request).participants}


def calls_to_delete_the_newest(after: int) -> int:
    """Returns what it takes where the replies below the newest are deleted, but for the first."""
    count = after + 2
    story = Story().given(channel(), post(ROOT), *(reply(f"r{n}") for n in range(1, count + 1)))
    story.given(*(delete(f"r{n}") for n in range(2, count)))
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        story.when(delete(f"r{count}"))
    finally:
        sys.setprofile(None)
    return calls


class TestReply:
    def test_a3_replies_take_the_next_thread_sequences(self, story: Story) -> None:
        answers = [story.when(reply(f"r{n}")) for n in range(1, 6)]

        assert [answer.thread_sequence for answer in answers] == [1, 2, 3, 4, 5]
        assert replies_of(story) == [(n, f"r{n}") for n in range(1, 6)]

    def test_a4_the_parent_counts_them_in_the_very_next_read(self, story: Story) -> None:
        answers = [story.when(reply()) for _ in range(10)]

        assert [answer.reply_count for answer in answers] == list(range(1, 11))
        assert message_of(story, ROOT).thread.reply_count == 10

    def test_a_reply_says_what_it_replies_to(self, story: Story) -> None:
        story.when(reply("r", BOB))

        assert story.then_events() == [
            ReplyPosted(
                channel_id=GENERAL,
                parent_message_id=ROOT,
                message_id="r",
                thread_sequence=1,
                sender_id=BOB,
                body=text("indeed"),
            )
        ]
        message = message_of(story, "r")
        assert (message.parent_message_id, message.thread_sequence) == (ROOT, 1)
        assert not message.HasField("thread")

    def test_a_reply_takes_no_channel_sequence(self, story: Story) -> None:
        answer = story.when(reply())

        assert answer.sequence == 0
        assert channel_of(story).head_sequence == 1
        assert story.when(post()).sequence == 2

    def test_a_reply_shown_in_the_channel_takes_both_sequences(self, story: Story) -> None:
        story.given(reply())

        answer = story.when(reply("shown", show_in_channel=True))

        assert (answer.thread_sequence, answer.sequence) == (2, 2)
        page = story.read(ListMessagesRequest(channel_id=GENERAL))
        assert [(one.sequence, one.message_id) for one in page.messages] == [
            (1, ROOT),
            (2, "shown"),
        ]
        assert story.when(post()).sequence == 3

    def test_each_thread_counts_for_itself(self, story: Story) -> None:
        story.given(post("other"), reply(), reply())

        assert story.when(reply(parent_id="other")).thread_sequence == 1

    def test_the_thread_knows_its_last_reply_and_its_participants(self, story: Story) -> None:
        story.given(reply(sender_id=ANN), reply(sender_id=BOB), reply(sender_id=ANN))

        thread = message_of(story, ROOT).thread

        assert (thread.head_sequence, thread.participant_count) == (3, 2)
        assert from_timestamp(thread.last_reply_time) == START_TIME_US + 5 * STEP_US
        assert participants_of(story) == {ANN: 2, BOB: 1}


class TestRefusals:
    def test_a_missing_parent_is_refused(self, story: Story) -> None:
        refusal = story.then_refused(reply(parent_id="x"), "MESSAGE_NOT_FOUND")

        assert refusal.metadata == {"channel_id": GENERAL, "message_id": "x"}

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        command = PostReplyRequest(channel_id="x", parent_message_id=ROOT, sender_id=ANN)

        story.then_refused(command, "CHANNEL_NOT_FOUND")

    def test_a_deleted_parent_is_refused(self, story: Story) -> None:
        story.given(delete(ROOT))

        story.then_refused(reply(), "MESSAGE_DELETED")

    def test_a_reply_to_a_reply_is_refused_and_names_the_parent(self, story: Story) -> None:
        story.given(reply("r"))

        refusal = story.then_refused(reply(parent_id="r"), "PARENT_IS_REPLY")

        assert refusal.metadata["parent_message_id"] == ROOT

    @pytest.mark.parametrize("shown", [False, True])
    def test_g1_a_taken_id_is_refused_and_uses_up_no_number(
        self, story: Story, *, shown: bool
    ) -> None:
        story.given(reply("r"))

        story.then_refused(reply("r", show_in_channel=shown), "MESSAGE_ALREADY_EXISTS")
        story.then_refused(reply(ROOT, show_in_channel=shown), "MESSAGE_ALREADY_EXISTS")

        answer = story.when(reply(show_in_channel=True))
        assert (answer.thread_sequence, answer.sequence) == (2, 2)

    def test_a_shown_reply_to_a_full_channel_is_refused_another_is_not(self) -> None:
        story = Story().given(channel(first_sequence=2**63 - 1), post(ROOT))

        story.then_refused(reply(show_in_channel=True), "SEQUENCE_EXHAUSTED")

        assert story.when(reply()).thread_sequence == 1


class TestDeletedReplies:
    def test_a_deleted_reply_no_longer_counts_and_keeps_its_number(self, story: Story) -> None:
        story.given(reply("r1"), reply("r2"), reply("r3"))

        story.when(delete("r2"))

        assert story.then_events() == [
            MessageDeleted(channel_id=GENERAL, message_id="r2", version=2, parent_message_id=ROOT)
        ]
        thread = message_of(story, ROOT).thread
        assert (thread.reply_count, thread.head_sequence) == (2, 3)
        assert replies_of(story) == [(1, "r1"), (2, "r2"), (3, "r3")]
        assert story.when(reply()).thread_sequence == 4

    def test_the_last_reply_time_goes_back_to_the_newest_that_is_left(self, story: Story) -> None:
        story.given(reply("r1"), reply("r2"), reply("r3"), delete("r2"), delete("r3"))

        thread = message_of(story, ROOT).thread

        assert from_timestamp(thread.last_reply_time) == START_TIME_US + 3 * STEP_US

    def test_a_thread_of_deleted_replies_has_no_last_reply(self, story: Story) -> None:
        story.given(reply("r1"), delete("r1"))

        thread = message_of(story, ROOT).thread

        assert (thread.reply_count, thread.participant_count, thread.head_sequence) == (0, 0, 1)
        assert not thread.HasField("last_reply_time")
        assert participants_of(story) == {}

    def test_a_participant_leaves_with_the_last_reply(self, story: Story) -> None:
        story.given(reply("a1", ANN), reply("a2", ANN), reply("b", BOB))

        story.given(delete("a1"), delete("b"))

        assert participants_of(story) == {ANN: 1}
        assert message_of(story, ROOT).thread.participant_count == 1

    def test_a_repeated_deletion_counts_once(self, story: Story) -> None:
        story.given(reply("r1"), reply("r2"), delete("r1"), delete("r1"))

        assert message_of(story, ROOT).thread.reply_count == 1

    def test_a_shown_reply_keeps_its_place_in_the_channel(self, story: Story) -> None:
        story.given(reply("r", show_in_channel=True), delete("r"))

        page = story.read(ListMessagesRequest(channel_id=GENERAL))

        assert [(one.sequence, one.HasField("delete_time")) for one in page.messages] == [
            (1, False),
            (2, True),
        ]

    def test_g7_to_delete_the_newest_reply_takes_no_more_where_many_are_deleted(self) -> None:
        """Counted in calls of functions, which are the same in every run."""
        assert calls_to_delete_the_newest(after=300) == calls_to_delete_the_newest(after=3)

    def test_a_deleted_parent_keeps_its_thread_readable(self, story: Story) -> None:
        story.given(reply("r"), delete(ROOT))

        assert replies_of(story) == [(1, "r")]
        assert message_of(story, ROOT).thread.reply_count == 1


class TestReads:
    def test_a_missing_parent_is_refused(self, story: Story) -> None:
        for request in (
            ListRepliesRequest(channel_id=GENERAL, parent_message_id="x"),
            ListThreadParticipantsRequest(channel_id=GENERAL, parent_message_id="x"),
        ):
            story.then_read_refused(request, "MESSAGE_NOT_FOUND")

    def test_a_message_without_replies_has_an_empty_list(self, story: Story) -> None:
        assert replies_of(story) == []
        assert not message_of(story, ROOT).HasField("thread")

    def test_a_list_runs_either_way_from_any_sequence(self, story: Story) -> None:
        story.given(*(reply(f"r{n}") for n in range(1, 5)))
        request = ListRepliesRequest(
            channel_id=GENERAL,
            parent_message_id=ROOT,
            order=LIST_ORDER_DESCENDING,
            start_sequence=3,
        )

        assert [one.thread_sequence for one in story.read(request).replies] == [3, 2, 1]


class TestAudit:
    given = (
        ChannelCreated(channel_id="c", first_sequence=1),
        MessagePosted(channel_id="c", message_id="root", sequence=1),
    )

    def replied(self, message_id: str, thread_sequence: int, parent: str = "root") -> ReplyPosted:
        return ReplyPosted(
            channel_id="c",
            parent_message_id=parent,
            message_id=message_id,
            thread_sequence=thread_sequence,
        )

    def test_g1_a_skipped_or_repeated_thread_number_is_a_breach(self) -> None:
        replies = (self.replied("a", 1), self.replied("b", 3), self.replied("d", 3))

        assert forged(*self.given, *replies) == [
            "position 4: thread of message root in channel c: sequence 3 follows 1",
            "position 5: thread of message root in channel c: sequence 3 follows 3",
        ]

    def test_a_reply_to_a_missing_or_deleted_parent_is_a_breach(self) -> None:
        deleted = MessageDeleted(channel_id="c", message_id="root", version=2)

        assert forged(*self.given, self.replied("a", 1, "x"), deleted, self.replied("b", 1)) == [
            "position 3: message x in channel c is replied to and was never posted",
            "position 5: message root in channel c is replied to and is already deleted",
        ]

    def test_a_reply_to_a_reply_is_a_breach(self) -> None:
        assert forged(*self.given, self.replied("a", 1), self.replied("b", 1, "a")) == [
            "position 4: message a in channel c is replied to and is itself a reply"
        ]

    def test_a_deletion_that_names_another_parent_is_a_breach(self) -> None:
        deleted = MessageDeleted(channel_id="c", message_id="a", version=2)

        assert forged(*self.given, self.replied("a", 1), deleted) == [
            "position 4: message a in channel c is deleted as a reply to '', its parent is 'root'"
        ]

    def test_a_reply_in_an_archived_channel_is_a_breach(self) -> None:
        archived = ChannelArchived(channel_id="c", head_sequence=1)

        assert forged(*self.given, archived, self.replied("a", 1)) == [
            "position 4: channel c is archived and takes a message"
        ]

    def test_a_shown_reply_counts_in_the_channel_too(self) -> None:
        shown = self.replied("a", 1)
        shown.sequence = 3

        assert forged(*self.given, shown) == ["position 3: channel c: sequence 3 follows 1"]
