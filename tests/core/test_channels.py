"""Channels: what creating, updating and archiving one does, given what happened before."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from gapless.v1.channels_pb2 import (
    ArchiveChannelRequest,
    ChannelArchived,
    ChannelCreated,
    ChannelUpdated,
    CreateChannelRequest,
    GetChannelRequest,
    ListChannelsRequest,
    UpdateChannelRequest,
)
from gapless_server.core.kinds.channels import SEQUENCE_MAX, ChannelTables
from gapless_server.core.times import from_timestamp
from tests.core.chat_commands import GENERAL, archive, channel, channel_of, join, post, reply
from tests.core.story import START_TIME_US, STEP_US, Story, forged


@pytest.fixture
def story() -> Story:
    return Story()


def update(
    *paths: str, title: str = "", attributes: dict[str, str] | None = None
) -> UpdateChannelRequest:
    return UpdateChannelRequest(
        channel_id=GENERAL,
        title=title,
        attributes=attributes,
        update_mask=FieldMask(paths=paths),
    )


class TestCreate:
    def test_a_new_channel_begins_before_sequence_1(self, story: Story) -> None:
        answer = story.when(channel(title="General"))

        assert story.then_events() == [
            ChannelCreated(channel_id=GENERAL, title="General", first_sequence=1)
        ]
        assert (answer.channel.first_sequence, answer.channel.head_sequence) == (1, 0)
        assert channel_of(story) == answer.channel

    def test_times_are_those_of_the_commit(self, story: Story) -> None:
        answer = story.when(channel())

        assert from_timestamp(answer.channel.create_time) == START_TIME_US + STEP_US
        assert answer.channel.update_time == answer.channel.create_time
        assert not answer.channel.HasField("archive_time")

    def test_a2_a_channel_may_begin_at_another_sequence(self, story: Story) -> None:
        story.given(channel(first_sequence=101))

        assert [story.when(post()).sequence for _ in range(3)] == [101, 102, 103]

    def test_without_an_id_the_service_makes_one(self, story: Story) -> None:
        first = story.when(CreateChannelRequest(title="one")).channel.channel_id
        second = story.when(CreateChannelRequest(title="one")).channel.channel_id

        assert first
        assert second
        assert first != second

    def test_the_same_again_changes_nothing_and_answers_the_channel(self, story: Story) -> None:
        command = CreateChannelRequest(
            channel_id=GENERAL, title="General", attributes={"team": "a", "tier": "1"}
        )
        story.given(command, post())

        answer = story.when(command)

        assert story.then_events() == []
        assert answer.channel == channel_of(story)
        assert answer.channel.head_sequence == 1

    def test_a_first_sequence_of_1_is_the_same_as_none(self, story: Story) -> None:
        story.given(channel())

        story.when(channel(first_sequence=1))

        assert story.then_events() == []

    @pytest.mark.parametrize(
        ("other", "fields"),
        [
            (CreateChannelRequest(title="Other", first_sequence=5), "title"),
            (
                CreateChannelRequest(title="T", attributes={"a": "b"}, first_sequence=5),
                "attributes",
            ),
            (CreateChannelRequest(title="T"), "first_sequence"),
            (CreateChannelRequest(attributes={"a": "b"}), "title, attributes, first_sequence"),
        ],
    )
    def test_other_settings_are_refused_and_named(
        self, story: Story, other: CreateChannelRequest, fields: str
    ) -> None:
        story.given(channel(title="T", first_sequence=5))
        other.channel_id = GENERAL

        refusal = story.then_refused(other, "CHANNEL_ALREADY_EXISTS")

        assert refusal.metadata == {"channel_id": GENERAL, "fields": fields}


class TestUpdate:
    def test_only_what_the_mask_names_changes(self, story: Story) -> None:
        story.given(CreateChannelRequest(channel_id=GENERAL, title="Old", attributes={"a": "1"}))

        answer = story.when(update("title", title="New", attributes={"b": "2"}))

        assert story.then_events() == [
            ChannelUpdated(channel_id=GENERAL, title="New", attributes={"a": "1"})
        ]
        assert answer.channel == channel_of(story)
        assert (answer.channel.title, dict(answer.channel.attributes)) == ("New", {"a": "1"})

    def test_attributes_replace_all_old_ones(self, story: Story) -> None:
        story.given(CreateChannelRequest(channel_id=GENERAL, attributes={"a": "1", "b": "2"}))

        story.when(update("attributes", attributes={"b": "3"}))

        assert dict(channel_of(story).attributes) == {"b": "3"}

    def test_an_update_sets_the_update_time_and_keeps_the_creation(self, story: Story) -> None:
        created = story.when(channel()).channel

        answer = story.when(update("title", title="New"))

        assert answer.channel.create_time == created.create_time
        assert from_timestamp(answer.channel.update_time) == START_TIME_US + 2 * STEP_US

    def test_the_same_values_change_nothing(self, story: Story) -> None:
        story.given(channel(title="Same"))
        before = channel_of(story)

        answer = story.when(update("title", "attributes", title="Same"))

        assert story.then_events() == []
        assert answer.channel == before

    def test_an_archived_channel_can_still_be_updated(self, story: Story) -> None:
        story.given(channel(), archive())

        story.when(update("title", title="Old stuff"))

        assert channel_of(story).title == "Old stuff"
        assert channel_of(story).HasField("archive_time")

    @pytest.mark.parametrize(
        ("paths", "found"),
        [((), "is required"), (("title", "first_sequence"), "found first_sequence")],
    )
    def test_a_mask_that_names_nothing_or_something_else_is_refused(
        self, story: Story, paths: tuple[str, ...], found: str
    ) -> None:
        story.given(channel())
        command = update(*paths)
        if not paths:
            command.ClearField("update_mask")

        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata["field"] == "update_mask"
        assert found in refusal.metadata["description"]

    def test_an_empty_mask_is_refused(self, story: Story) -> None:
        story.given(channel())

        refusal = story.then_refused(update(), "INVALID_FIELD")

        assert "found nothing" in refusal.metadata["description"]

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        story.then_refused(update("title", title="x"), "CHANNEL_NOT_FOUND")


class TestDeterminism:
    def test_g10_attributes_lie_in_the_state_in_the_order_of_their_keys(self) -> None:
        """The order of a protobuf map is another one in every process."""
        attributes = {f"key {number}": "value" for number in range(20)}
        story = Story().given(CreateChannelRequest(channel_id=GENERAL, attributes=attributes))

        row = story.state.of(ChannelTables).channels.get("", GENERAL)

        assert row is not None
        assert [key for key, _value in row.attributes] == sorted(attributes)


class TestArchive:
    def test_archiving_says_the_last_sequence(self, story: Story) -> None:
        story.given(channel(), post(), post())

        answer = story.when(archive())

        assert story.then_events() == [ChannelArchived(channel_id=GENERAL, head_sequence=2)]
        assert from_timestamp(answer.channel.archive_time) == START_TIME_US + 4 * STEP_US
        assert answer.channel == channel_of(story)

    def test_again_changes_nothing(self, story: Story) -> None:
        story.given(channel(), archive())
        before = channel_of(story)

        answer = story.when(archive())

        assert story.then_events() == []
        assert answer.channel == before

    @pytest.mark.parametrize("shown", [False, True])
    def test_no_posts_and_no_replies_any_more(self, story: Story, *, shown: bool) -> None:
        story.given(channel(), post("root"), archive())

        story.then_refused(post(), "CHANNEL_ARCHIVED")
        story.then_refused(reply(show_in_channel=shown), "CHANNEL_ARCHIVED")
        assert channel_of(story).head_sequence == 1

    def test_people_still_come_and_go(self, story: Story) -> None:
        story.given(channel(), archive())

        assert story.when(join()).membership.user_id == "ann"

    def test_creating_it_again_does_not_open_it(self, story: Story) -> None:
        story.given(channel(), archive())

        story.when(channel())

        assert channel_of(story).HasField("archive_time")

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        refusal = story.then_refused(ArchiveChannelRequest(channel_id="x"), "CHANNEL_NOT_FOUND")

        assert refusal.metadata == {"channel_id": "x"}


class TestReads:
    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        story.then_read_refused(GetChannelRequest(channel_id="x"), "CHANNEL_NOT_FOUND")

    def test_the_list_is_in_the_order_of_the_ids_archived_included(self, story: Story) -> None:
        story.given(channel("b"), channel("c"), channel("a"), archive("b"))

        page = story.read(ListChannelsRequest())

        assert [one.channel_id for one in page.channels] == ["a", "b", "c"]
        assert page.next_page_token == ""


class TestTheLastNumber:
    def test_after_the_last_number_a_channel_refuses_and_does_not_wrap(self, story: Story) -> None:
        story.given(channel(first_sequence=SEQUENCE_MAX))
        assert story.when(post()).sequence == SEQUENCE_MAX

        refusal = story.then_refused(post(), "SEQUENCE_EXHAUSTED")

        assert refusal.metadata["head_sequence"] == str(2**63 - 1)


class TestAudit:
    def test_a_channel_that_is_created_twice_is_a_breach(self) -> None:
        created = ChannelCreated(channel_id="c", first_sequence=1)

        assert forged(created, created) == ["position 2: channel c is created again"]

    def test_an_event_of_a_channel_that_was_never_created_is_a_breach(self) -> None:
        assert forged(ChannelUpdated(channel_id="c")) == ["position 1: channel c was never created"]

    def test_archiving_twice_or_at_another_sequence_is_a_breach(self) -> None:
        created = ChannelCreated(channel_id="c", first_sequence=1)
        archived = ChannelArchived(channel_id="c", head_sequence=3)

        assert forged(created, archived, archived) == [
            "position 2: channel c is archived at sequence 3, its last is 0",
            "position 3: channel c is archived again",
            "position 3: channel c is archived at sequence 3, its last is 0",
        ]
