"""Memberships: what joining and leaving does, given what happened before."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import ChannelCreated
from gapless.v1.memberships_pb2 import (
    CheckMembershipRequest,
    ListMembershipsRequest,
    ListMembersRequest,
    MemberJoined,
    MemberLeft,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.times import from_timestamp
from tests.core.chat_commands import ANN, BOB, GENERAL, channel, join, leave
from tests.core.story import START_TIME_US, STEP_US, Story, forged


@pytest.fixture
def story() -> Story:
    """A channel that nobody is in."""
    return Story().given(channel())


def members_of(story: Story, channel_id: str = GENERAL) -> list[str]:
    page = story.read(ListMembersRequest(channel_id=channel_id))
    return [one.user_id for one in page.memberships]


def channels_of(story: Story, user_id: str = ANN) -> list[str]:
    page = story.read(ListMembershipsRequest(user_id=user_id))
    return [one.channel_id for one in page.memberships]


class TestJoin:
    def test_a10_a_second_join_succeeds_and_changes_nothing(self, story: Story) -> None:
        first = story.when(join())
        assert story.then_events() == [MemberJoined(channel_id=GENERAL, user_id=ANN)]

        second = story.when(join())
        assert story.then_events() == []

        assert second == first
        assert from_timestamp(first.membership.join_time) == START_TIME_US + 2 * STEP_US
        assert members_of(story) == [ANN]

    def test_a11_of_five_that_ask_to_fail_one_succeeds(self, story: Story) -> None:
        outcomes = []
        for _ in range(5):
            try:
                story.when(join(fail_if_unchanged=True))
                outcomes.append("joined")
            except Refused as refusal:
                outcomes.append(refusal.row.reason)

        assert outcomes == ["joined", *["MEMBERSHIP_ALREADY_EXISTS"] * 4]

    def test_the_refusal_names_both(self, story: Story) -> None:
        story.given(join())

        refusal = story.then_refused(join(fail_if_unchanged=True), "MEMBERSHIP_ALREADY_EXISTS")

        assert refusal.metadata == {"channel_id": GENERAL, "user_id": ANN}

    def test_a_member_who_left_can_join_again_at_a_new_time(self, story: Story) -> None:
        story.given(join(), leave())

        answer = story.when(join())

        assert from_timestamp(answer.membership.join_time) == START_TIME_US + 4 * STEP_US

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        story.then_refused(join(channel_id="x"), "CHANNEL_NOT_FOUND")


class TestLeave:
    def test_a12_a_second_leave_succeeds_and_changes_nothing(self, story: Story) -> None:
        story.given(join())

        story.when(leave())
        assert story.then_events() == [MemberLeft(channel_id=GENERAL, user_id=ANN)]

        story.when(leave())
        assert story.then_events() == []
        assert members_of(story) == []

    def test_not_a_member_is_refused_if_so_asked(self, story: Story) -> None:
        story.given(join(BOB))

        refusal = story.then_refused(leave(fail_if_unchanged=True), "MEMBERSHIP_NOT_FOUND")

        assert refusal.metadata == {"channel_id": GENERAL, "user_id": ANN}

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        story.then_refused(leave(channel_id="x"), "CHANNEL_NOT_FOUND")


class TestReads:
    def test_both_lists_show_the_same_memberships(self, story: Story) -> None:
        story.given(channel("a"), join(BOB), join(ANN), join(ANN, "a"))

        assert members_of(story) == [ANN, BOB]
        assert members_of(story, "a") == [ANN]
        assert channels_of(story, ANN) == ["a", GENERAL]
        assert channels_of(story, BOB) == [GENERAL]

    def test_a_left_channel_is_in_neither_list(self, story: Story) -> None:
        story.given(join(ANN), join(BOB), leave(ANN))

        assert members_of(story) == [BOB]
        assert channels_of(story, ANN) == []

    def test_a_check_says_whether_and_since_when(self, story: Story) -> None:
        story.given(join())

        yes = story.read(CheckMembershipRequest(channel_id=GENERAL, user_id=ANN))
        no = story.read(CheckMembershipRequest(channel_id=GENERAL, user_id=BOB))

        assert yes.is_member
        assert from_timestamp(yes.membership.join_time) == START_TIME_US + 2 * STEP_US
        assert not no.is_member
        assert not no.HasField("membership")

    @pytest.mark.parametrize(
        "request_",
        [
            CheckMembershipRequest(channel_id="x", user_id=ANN),
            ListMembersRequest(channel_id="x"),
        ],
    )
    def test_a_missing_channel_is_refused(self, story: Story, request_: Message) -> None:
        story.then_read_refused(request_, "CHANNEL_NOT_FOUND")

    def test_a_user_that_was_never_seen_is_in_no_channel(self, story: Story) -> None:
        assert channels_of(story, "nobody") == []


class TestAudit:
    created = ChannelCreated(channel_id="c", first_sequence=1)
    joined = MemberJoined(channel_id="c", user_id="u")
    left = MemberLeft(channel_id="c", user_id="u")

    def test_joins_and_leaves_that_alternate_are_fine(self) -> None:
        assert forged(self.created, self.joined, self.left, self.joined) == []

    def test_two_joins_in_a_row_are_a_breach(self) -> None:
        assert forged(self.created, self.joined, self.joined) == [
            "position 3: user u of channel c joins and is already a member"
        ]

    def test_a_leave_without_a_join_is_a_breach(self) -> None:
        assert forged(self.created, self.left) == [
            "position 2: user u of channel c leaves and is not a member"
        ]

    def test_an_event_in_a_channel_that_was_never_created_is_a_breach(self) -> None:
        assert forged(self.joined) == ["position 1: channel c was never created"]
