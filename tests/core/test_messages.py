"""Messages: what posting, editing and deleting one does, given what happened before."""

from __future__ import annotations

import msgspec
import pytest

from gapless.v1.channels_pb2 import ChannelArchived, ChannelCreated
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import (
    LIST_ORDER_DESCENDING,
    EditMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    MessageDeleted,
    MessageEdited,
    MessagePosted,
    PostMessageRequest,
)
from gapless_server.core.kinds.messages import MessageTables
from gapless_server.core.times import from_timestamp
from tests.core.chat_commands import (
    ANN,
    GENERAL,
    channel,
    channel_of,
    delete,
    edit,
    message_of,
    post,
    reply,
    text,
)
from tests.core.story import START_TIME_US, STEP_US, Story, forged


@pytest.fixture
def story() -> Story:
    """A channel without messages."""
    return Story().given(channel())


class TestPost:
    def test_g1_posts_take_the_next_sequences(self, story: Story) -> None:
        assert [story.when(post()).sequence for _ in range(10)] == list(range(1, 11))
        assert channel_of(story).head_sequence == 10

    def test_g1_a_refused_post_uses_up_no_number(self, story: Story) -> None:
        story.given(post("m"))

        story.then_refused(post("m"), "MESSAGE_ALREADY_EXISTS")

        assert story.when(post()).sequence == 2

    def test_a_post_is_stored_as_it_came(self, story: Story) -> None:
        command = PostMessageRequest(
            channel_id=GENERAL,
            message_id="m",
            sender_id=ANN,
            body=Body(data=b"\x00\xff", content_type="application/x"),
            attributes={"b": "2", "a": "1"},
        )

        story.when(command)

        assert story.then_events() == [
            MessagePosted(
                channel_id=GENERAL,
                message_id="m",
                sequence=1,
                sender_id=ANN,
                body=command.body,
                attributes={"a": "1", "b": "2"},
            )
        ]
        message = message_of(story, "m")
        assert (message.body, dict(message.attributes)) == (command.body, {"a": "1", "b": "2"})
        assert (message.sequence, message.version, message.sender_id) == (1, 1, ANN)
        assert from_timestamp(message.create_time) == START_TIME_US + 2 * STEP_US
        for absent in ("edit_time", "delete_time", "thread"):
            assert not message.HasField(absent)

    def test_no_body_stays_no_body_and_an_empty_one_an_empty_one(self, story: Story) -> None:
        story.given(PostMessageRequest(channel_id=GENERAL, message_id="none", sender_id=ANN))
        story.given(
            PostMessageRequest(channel_id=GENERAL, message_id="empty", sender_id=ANN, body=Body())
        )

        assert not message_of(story, "none").HasField("body")
        assert message_of(story, "empty").HasField("body")

    def test_without_an_id_each_message_gets_one_of_its_own(self, story: Story) -> None:
        ids = {story.when(post()).message_id for _ in range(5)}

        assert len(ids) == 5
        assert "" not in ids

    def test_an_id_is_unique_in_its_channel_only(self, story: Story) -> None:
        story.given(post("m"), channel("other"))

        assert story.when(post("m", channel_id="other")).sequence == 1

    def test_an_id_stays_taken_after_a_deletion_and_by_a_reply(self, story: Story) -> None:
        story.given(post("root"), reply("r"), post("gone"), delete("gone"))

        refusal = story.then_refused(post("gone"), "MESSAGE_ALREADY_EXISTS")
        story.then_refused(post("r"), "MESSAGE_ALREADY_EXISTS")

        assert refusal.metadata == {"channel_id": GENERAL, "message_id": "gone"}

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        story.then_refused(post(channel_id="x"), "CHANNEL_NOT_FOUND")


def row_bytes(story: Story, message_id: str) -> int:
    """Returns how large the row of a message is, which every change of it writes anew."""
    row = story.state.of(MessageTables).messages.get(GENERAL, message_id)
    return len(msgspec.msgpack.encode(row))


class TestEdit:
    def test_g7_a_message_takes_no_more_room_for_having_been_edited_often(
        self, story: Story
    ) -> None:
        story.given(post("m"), edit("m"))
        once = row_bytes(story, "m")

        story.given(*(edit("m") for _ in range(50)))

        assert row_bytes(story, "m") == once

    def test_an_edit_replaces_the_content_and_keeps_the_sequence(self, story: Story) -> None:
        story.given(
            PostMessageRequest(
                channel_id=GENERAL, message_id="m", sender_id=ANN, attributes={"a": "1"}
            )
        )

        answer = story.when(edit("m", "new"))

        assert story.then_events() == [
            MessageEdited(channel_id=GENERAL, message_id="m", body=text("new"), version=2)
        ]
        assert answer.version == 2
        message = message_of(story, "m")
        assert (message.sequence, message.version, message.body) == (1, 2, text("new"))
        assert dict(message.attributes) == {}
        assert from_timestamp(message.edit_time) == START_TIME_US + 3 * STEP_US

    def test_an_edit_without_a_body_takes_it_away(self, story: Story) -> None:
        story.given(post("m"))

        story.when(EditMessageRequest(channel_id=GENERAL, message_id="m", attributes={"a": "1"}))

        message = message_of(story, "m")
        assert not message.HasField("body")
        assert dict(message.attributes) == {"a": "1"}

    def test_each_edit_adds_1_to_the_version(self, story: Story) -> None:
        story.given(post("m"))

        assert [story.when(edit("m", expected_version=n)).version for n in (1, 2, 3)] == [2, 3, 4]

    def test_another_version_than_expected_is_refused(self, story: Story) -> None:
        story.given(post("m"), edit("m"))

        refusal = story.then_refused(edit("m", expected_version=1), "MESSAGE_VERSION_MISMATCH")

        assert refusal.metadata == {
            "channel_id": GENERAL,
            "message_id": "m",
            "version": "2",
            "expected_version": "1",
        }

    def test_a_reply_can_be_edited(self, story: Story) -> None:
        story.given(post("root"), reply("r"))

        story.when(edit("r", "new"))

        message = message_of(story, "r")
        assert (message.thread_sequence, message.body) == (1, text("new"))

    def test_a_deleted_message_is_refused(self, story: Story) -> None:
        story.given(post("m"), delete("m"))

        story.then_refused(edit("m"), "MESSAGE_DELETED")

    def test_a_missing_message_or_channel_is_refused(self, story: Story) -> None:
        story.then_refused(edit("m"), "MESSAGE_NOT_FOUND")
        story.then_refused(EditMessageRequest(channel_id="x", message_id="m"), "CHANNEL_NOT_FOUND")


class TestDelete:
    def test_a_deletion_leaves_a_tombstone_with_its_sequence(self, story: Story) -> None:
        story.given(post("m"))

        answer = story.when(delete("m"))

        assert story.then_events() == [
            MessageDeleted(channel_id=GENERAL, message_id="m", version=2)
        ]
        assert answer.version == 2
        message = message_of(story, "m")
        assert (message.sequence, message.sender_id, message.version) == (1, ANN, 2)
        assert not message.HasField("body")
        assert from_timestamp(message.delete_time) == START_TIME_US + 3 * STEP_US

    def test_the_content_is_gone_from_the_state(self, story: Story) -> None:
        """Not only from what is read: a tombstone takes no room, and nothing can leak from it."""
        story.given(
            PostMessageRequest(
                channel_id=GENERAL,
                message_id="m",
                sender_id=ANN,
                body=text("secret"),
                attributes={"a": "1"},
            ),
            delete("m"),
        )

        row = story.state.of(MessageTables).messages.get(GENERAL, "m")

        assert row is not None
        assert (row.data, row.content_type, row.attributes) == (b"", "", ())

    def test_g1_the_number_of_a_deleted_message_is_not_used_again(self, story: Story) -> None:
        story.given(post("m"), delete("m"))

        assert story.when(post()).sequence == 2
        page = story.read(ListMessagesRequest(channel_id=GENERAL))
        assert [one.sequence for one in page.messages] == [1, 2]

    def test_again_changes_nothing_whatever_version_is_expected(self, story: Story) -> None:
        story.given(post("m"), delete("m"))

        assert story.when(delete("m", expected_version=1)).version == 2
        assert story.then_events() == []

    def test_again_is_refused_if_so_asked(self, story: Story) -> None:
        story.given(post("m"), delete("m"))

        story.then_refused(delete("m", fail_if_unchanged=True), "MESSAGE_DELETED")

    def test_another_version_than_expected_is_refused(self, story: Story) -> None:
        story.given(post("m"), edit("m"))

        story.then_refused(delete("m", expected_version=1), "MESSAGE_VERSION_MISMATCH")
        assert story.when(delete("m", expected_version=2)).version == 3

    def test_a_missing_message_is_refused(self, story: Story) -> None:
        story.then_refused(delete("m"), "MESSAGE_NOT_FOUND")


class TestReads:
    def test_a_missing_message_or_channel_is_refused(self, story: Story) -> None:
        story.then_read_refused(
            GetMessageRequest(channel_id=GENERAL, message_id="m"), "MESSAGE_NOT_FOUND"
        )
        story.then_read_refused(
            GetMessageRequest(channel_id="x", message_id="m"), "CHANNEL_NOT_FOUND"
        )
        story.then_read_refused(ListMessagesRequest(channel_id="x"), "CHANNEL_NOT_FOUND")

    def test_an_empty_channel_has_an_empty_list(self, story: Story) -> None:
        page = story.read(ListMessagesRequest(channel_id=GENERAL))

        assert (list(page.messages), page.next_page_token) == ([], "")

    @pytest.mark.parametrize(
        ("order", "start", "sequences"),
        [
            (0, None, [5, 6, 7, 8]),
            (0, 1, [5, 6, 7, 8]),
            (0, 7, [7, 8]),
            (0, 9, []),
            (LIST_ORDER_DESCENDING, None, [8, 7, 6, 5]),
            (LIST_ORDER_DESCENDING, 6, [6, 5]),
            (LIST_ORDER_DESCENDING, 4, []),
            (LIST_ORDER_DESCENDING, 2**63 - 1, [8, 7, 6, 5]),
        ],
    )
    def test_a_list_runs_either_way_from_any_sequence(
        self, order: int, start: int | None, sequences: list[int]
    ) -> None:
        story = Story().given(channel(first_sequence=5), post(), post(), post(), post())
        request = ListMessagesRequest(channel_id=GENERAL, start_sequence=start)
        request.order = order  # type: ignore[assignment]  # a plain number, as on the wire

        page = story.read(request)

        assert [one.sequence for one in page.messages] == sequences


class TestAudit:
    created = ChannelCreated(channel_id="c", first_sequence=1)

    def posted(self, sequence: int, message_id: str) -> MessagePosted:
        return MessagePosted(channel_id="c", message_id=message_id, sequence=sequence)

    def test_g1_a_skipped_number_is_a_breach(self) -> None:
        assert forged(self.created, self.posted(1, "a"), self.posted(3, "b")) == [
            "position 3: channel c: sequence 3 follows 1"
        ]

    def test_g1_a_number_given_twice_is_a_breach(self) -> None:
        assert forged(self.created, self.posted(1, "a"), self.posted(1, "b")) == [
            "position 3: channel c: sequence 1 follows 1"
        ]

    def test_a_first_number_other_than_the_channels_is_a_breach(self) -> None:
        assert forged(self.created, self.posted(2, "a")) == [
            "position 2: channel c: sequence 2 follows 0"
        ]

    def test_a_message_id_that_stands_twice_is_a_breach(self) -> None:
        assert forged(self.created, self.posted(1, "a"), self.posted(2, "a")) == [
            "position 3: message a in channel c is posted again"
        ]

    def test_a_post_to_an_archived_channel_is_a_breach(self) -> None:
        archived = ChannelArchived(channel_id="c", head_sequence=0)

        assert forged(self.created, archived, self.posted(1, "a")) == [
            "position 3: channel c is archived and takes a message"
        ]

    def test_a_change_of_a_deleted_or_unknown_message_is_a_breach(self) -> None:
        deleted = MessageDeleted(channel_id="c", message_id="a", version=2)
        edited = MessageEdited(channel_id="c", message_id="a", version=3)
        unknown = MessageEdited(channel_id="c", message_id="b", version=1)

        assert forged(self.created, self.posted(1, "a"), deleted, edited, unknown) == [
            "position 4: message a in channel c is edited and is already deleted",
            "position 5: message b in channel c is edited and was never posted",
        ]

    def test_a_version_that_does_not_follow_is_a_breach(self) -> None:
        edited = MessageEdited(channel_id="c", message_id="a", version=3)

        assert forged(self.created, self.posted(1, "a"), edited) == [
            "position 3: message a in channel c: version 3 follows 1"
        ]
