"""Reactions: what adding, removing and toggling one does, given what happened before."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import ChannelCreated
from gapless.v1.messages_pb2 import MessageDeleted, MessagePosted
from gapless.v1.reactions_pb2 import (
    TOGGLE_OUTCOME_ADDED,
    TOGGLE_OUTCOME_REMOVED,
    GetReactionCountsRequest,
    ListReactionsRequest,
    ReactionAdded,
    ReactionRemoved,
    ToggleReactionResponse,
)
from gapless_server.core.kinds.reactions import EMOJI_PER_MESSAGE_MAX, ReactionTables
from gapless_server.core.times import from_timestamp
from tests.core.chat_commands import (
    ANN,
    BOB,
    GENERAL,
    ROOT,
    THUMBS_UP,
    add,
    channel,
    delete,
    post,
    remove,
    reply,
    toggle,
)
from tests.core.story import START_TIME_US, STEP_US, Story, forged

ADDED = ReactionAdded(channel_id=GENERAL, message_id=ROOT, user_id=ANN, emoji=THUMBS_UP)
REMOVED = ReactionRemoved(channel_id=GENERAL, message_id=ROOT, user_id=ANN, emoji=THUMBS_UP)


@pytest.fixture
def story() -> Story:
    """A channel with one message, "root"."""
    return Story().given(channel(), post(ROOT))


def counts_of(story: Story, message_id: str = ROOT) -> dict[str, int]:
    request = GetReactionCountsRequest(channel_id=GENERAL, message_id=message_id)
    return {one.emoji: one.count for one in story.read(request).counts}


def reactions_of(story: Story) -> list[tuple[str, str]]:
    request = ListReactionsRequest(channel_id=GENERAL, message_id=ROOT)
    return [(one.emoji, one.user_id) for one in story.read(request).reactions]


class TestAdd:
    def test_a_reaction_is_added_once(self, story: Story) -> None:
        assert story.when(add()).count == 1
        assert story.then_events() == [ADDED]

        assert story.when(add()).count == 1
        assert story.then_events() == []

    def test_again_is_refused_if_so_asked(self, story: Story) -> None:
        story.when(add(fail_if_unchanged=True))

        refusal = story.then_refused(add(fail_if_unchanged=True), "REACTION_ALREADY_EXISTS")

        assert refusal.metadata == {
            "channel_id": GENERAL,
            "message_id": ROOT,
            "user_id": ANN,
            "emoji": THUMBS_UP,
        }

    def test_each_user_and_each_emoji_counts_for_itself(self, story: Story) -> None:
        story.given(add(ANN, "b"), add(BOB, "b"), add(BOB, "a"))

        assert counts_of(story) == {"a": 1, "b": 2}
        assert reactions_of(story) == [("a", BOB), ("b", ANN), ("b", BOB)]

    def test_a_reply_can_have_reactions(self, story: Story) -> None:
        story.given(reply("r"), add(message_id="r"))

        assert counts_of(story, "r") == {THUMBS_UP: 1}
        assert counts_of(story) == {}


class TestRemove:
    def test_a_reaction_is_removed_once(self, story: Story) -> None:
        story.given(add())

        assert story.when(remove()).count == 0
        assert story.then_events() == [REMOVED]

        assert story.when(remove()).count == 0
        assert story.then_events() == []

    def test_another_users_stays(self, story: Story) -> None:
        story.given(add(ANN), add(BOB))

        assert story.when(remove(ANN)).count == 1
        assert reactions_of(story) == [(THUMBS_UP, BOB)]

    def test_absent_is_refused_if_so_asked(self, story: Story) -> None:
        story.given(add(BOB))

        story.then_refused(remove(ANN, fail_if_unchanged=True), "REACTION_NOT_FOUND")
        assert story.when(remove(ANN)).count == 1

    def test_an_emoji_that_nobody_has_any_more_is_not_counted(self, story: Story) -> None:
        story.given(add(), remove())

        assert counts_of(story) == {}
        assert reactions_of(story) == []


class TestToggle:
    def test_a6_two_toggles_undo_each_other_and_say_so(self, story: Story) -> None:
        assert story.when(toggle()) == ToggleReactionResponse(outcome=TOGGLE_OUTCOME_ADDED, count=1)
        assert story.then_events() == [ADDED]

        assert story.when(toggle()) == ToggleReactionResponse(
            outcome=TOGGLE_OUTCOME_REMOVED, count=0
        )
        assert story.then_events() == [REMOVED]
        assert reactions_of(story) == []

    def test_a7_five_toggles_leave_one_reaction_and_alternate(self, story: Story) -> None:
        outcomes = [story.when(toggle()).outcome for _ in range(5)]

        assert outcomes == [
            TOGGLE_OUTCOME_ADDED,
            TOGGLE_OUTCOME_REMOVED,
            TOGGLE_OUTCOME_ADDED,
            TOGGLE_OUTCOME_REMOVED,
            TOGGLE_OUTCOME_ADDED,
        ]
        assert counts_of(story) == {THUMBS_UP: 1}

    def test_a8_five_users_have_five_reactions(self, story: Story) -> None:
        counts = [story.when(toggle(f"user-{n}")).count for n in range(5)]

        assert counts == [1, 2, 3, 4, 5]
        assert reactions_of(story) == [(THUMBS_UP, f"user-{n}") for n in range(5)]

    def test_a_toggle_undoes_an_add(self, story: Story) -> None:
        story.given(add())

        assert story.when(toggle()).outcome == TOGGLE_OUTCOME_REMOVED


class TestTheLimit:
    @pytest.fixture
    def full(self, story: Story) -> Story:
        return story.given(*(add(ANN, f"emoji-{n}") for n in range(EMOJI_PER_MESSAGE_MAX)))

    def test_it_is_64(self) -> None:
        assert EMOJI_PER_MESSAGE_MAX == 64

    @pytest.mark.parametrize("command", [add(BOB, "one-more"), toggle(BOB, "one-more")])
    def test_another_emoji_is_refused(self, full: Story, command: Message) -> None:
        refusal = full.then_refused(command, "TOO_MANY_EMOJI")

        assert refusal.metadata["emoji_max"] == "64"

    def test_another_user_of_an_emoji_that_is_there_is_not(self, full: Story) -> None:
        assert full.when(add(BOB, "emoji-7")).count == 2
        assert full.when(toggle("cleo", "emoji-7")).count == 3

    def test_adding_what_is_there_is_not(self, full: Story) -> None:
        assert full.when(add(ANN, "emoji-7")).count == 1

    def test_a_removed_emoji_makes_room(self, full: Story) -> None:
        full.given(remove(ANN, "emoji-7"))

        assert full.when(add(BOB, "one-more")).count == 1

    def test_an_emoji_that_another_user_still_has_makes_none(self, full: Story) -> None:
        full.given(add(BOB, "emoji-7"), remove(ANN, "emoji-7"))

        full.then_refused(add(BOB, "one-more"), "TOO_MANY_EMOJI")

    def test_another_message_has_its_own(self, full: Story) -> None:
        full.given(post("other"))

        assert full.when(add(BOB, "one-more", "other")).count == 1


class TestTheMessage:
    @pytest.mark.parametrize("command", [add(), remove(), toggle()])
    def test_it_must_exist(self, command: Message) -> None:
        story = Story()

        story.then_refused(command, "CHANNEL_NOT_FOUND")
        story.given(channel())
        story.then_refused(command, "MESSAGE_NOT_FOUND")

    @pytest.mark.parametrize("command", [add(), add(BOB), remove(), toggle()])
    def test_it_must_not_be_deleted(self, story: Story, command: Message) -> None:
        story.given(add(), delete(ROOT))

        story.then_refused(command, "MESSAGE_DELETED")

    @pytest.mark.parametrize(
        "request_", [ListReactionsRequest, GetReactionCountsRequest], ids=lambda one: one.__name__
    )
    def test_reads_need_it_too(self, story: Story, request_: type[Message]) -> None:
        about_missing = request_(channel_id=GENERAL, message_id="x")
        about_deleted = request_(channel_id=GENERAL, message_id=ROOT)
        story.given(delete(ROOT))

        story.then_read_refused(about_missing, "MESSAGE_NOT_FOUND")
        story.then_read_refused(about_deleted, "MESSAGE_DELETED")

    def test_its_reactions_go_with_it(self, story: Story) -> None:
        story.given(reply("r"), add(ANN, "a", "r"), add(BOB, "b", "r"), add(ANN, "a"))

        story.given(delete("r"))

        tables = story.state.of(ReactionTables)
        assert [key for key, _ in tables.times_us.items()] == [((GENERAL, ROOT), ("a", ANN))]
        assert dict(tables.counts.items()) == {(GENERAL, ROOT): (("a", 1),)}


class TestReads:
    def test_a_reaction_says_when_it_was_added(self, story: Story) -> None:
        story.given(add(BOB), add(ANN))

        request = ListReactionsRequest(channel_id=GENERAL, message_id=ROOT)
        first = story.read(request).reactions[0]

        assert (first.user_id, from_timestamp(first.create_time)) == (
            ANN,
            START_TIME_US + 4 * STEP_US,
        )

    def test_counts_are_in_the_order_of_the_emoji(self, story: Story) -> None:
        story.given(add(ANN, "c"), add(ANN, "a"), add(ANN, "b"))

        assert list(counts_of(story)) == ["a", "b", "c"]


class TestAudit:
    given = (
        ChannelCreated(channel_id=GENERAL, first_sequence=1),
        MessagePosted(channel_id=GENERAL, message_id=ROOT, sequence=1),
    )
    there = "reaction thumbsup of user ann to message root in channel general"

    def breaches(self, *events: Message) -> list[str]:
        return forged(*self.given, *events)

    def test_adding_what_is_there_is_a_breach(self) -> None:
        assert self.breaches(ADDED, ADDED) == [
            f"position 4: {self.there} is added and is already there"
        ]

    def test_removing_what_is_not_there_is_a_breach(self) -> None:
        assert self.breaches(ADDED, REMOVED, REMOVED) == [
            f"position 5: {self.there} is removed and is not there"
        ]

    def test_a_65th_emoji_is_a_breach(self) -> None:
        added = [
            ReactionAdded(channel_id=GENERAL, message_id=ROOT, user_id=ANN, emoji=f"e{n}")
            for n in range(65)
        ]

        assert self.breaches(*added) == [
            "position 67: message root in channel general has 65 different emoji,"
            " at most 64 are allowed"
        ]

    def test_a_reaction_to_a_deleted_message_is_a_breach(self) -> None:
        deleted = MessageDeleted(channel_id=GENERAL, message_id=ROOT, version=2)

        assert self.breaches(deleted, ADDED) == [
            "position 4: message root in channel general gets or loses a reaction"
            " and is already deleted"
        ]
