"""Read markers: what marking does, and what it leaves unread, given what happened before."""

from __future__ import annotations

import pytest

from gapless.v1.channels_pb2 import ChannelCreated
from gapless.v1.messages_pb2 import MessagePosted
from gapless.v1.read_markers_pb2 import (
    GetReadMarkerRequest,
    ListReadMarkersRequest,
    ReadMarked,
    ReadMarker,
)
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from tests.core.chat_commands import (
    ANN,
    BOB,
    GENERAL,
    ROOT,
    channel,
    delete,
    join,
    leave,
    mark,
    post,
    reply,
)
from tests.core.story import Story, forged


@pytest.fixture
def story() -> Story:
    """A channel with messages 1 to 5."""
    return Story().given(channel(), post(ROOT), *(post() for _ in range(4)))


def marker_of(story: Story, user_id: str = ANN, channel_id: str = GENERAL) -> tuple[int, int, int]:
    request = GetReadMarkerRequest(channel_id=channel_id, user_id=user_id)
    marker = story.read(request).marker
    return marker.sequence, marker.head_sequence, marker.unread_count


class TestMark:
    def test_a_marker_moves_forward(self, story: Story) -> None:
        answer = story.when(mark(3))

        assert story.then_events() == [ReadMarked(channel_id=GENERAL, user_id=ANN, sequence=3)]
        assert answer.marker == ReadMarker(
            channel_id=GENERAL, user_id=ANN, sequence=3, head_sequence=5, unread_count=2
        )

    def test_a14_the_same_again_changes_nothing(self, story: Story) -> None:
        answers = [story.when(mark(5)) for _ in range(5)]

        assert [answer.marker.unread_count for answer in answers] == [0] * 5
        assert [len(entry.events) for entry in story.entries[-5:]] == [1, 0, 0, 0, 0]

    def test_a14_a_smaller_sequence_does_not_move_it_back(self, story: Story) -> None:
        story.given(mark(4))

        answer = story.when(mark(2))

        assert story.then_events() == []
        assert (answer.marker.sequence, answer.marker.unread_count) == (4, 1)
        assert marker_of(story) == (4, 5, 1)

    def test_a14_beyond_the_head_counts_as_the_head(self, story: Story) -> None:
        answer = story.when(mark(2**63 - 1))

        assert story.then_events() == [ReadMarked(channel_id=GENERAL, user_id=ANN, sequence=5)]
        assert (answer.marker.sequence, answer.marker.unread_count) == (5, 0)

    def test_beyond_the_head_does_not_cover_what_comes_later(self, story: Story) -> None:
        story.given(mark(100), post(), post())

        assert marker_of(story) == (5, 7, 2)

    def test_in_an_empty_channel_there_is_nothing_to_mark(self) -> None:
        story = Story().given(channel(first_sequence=100))

        answer = story.when(mark(500))

        assert story.then_events() == []
        assert (answer.marker.sequence, answer.marker.unread_count) == (99, 0)

    def test_below_the_first_sequence_nothing_is_marked(self) -> None:
        story = Story().given(channel(first_sequence=100), post(), post())

        answer = story.when(mark(7))

        assert story.then_events() == []
        assert (answer.marker.sequence, answer.marker.unread_count) == (99, 2)

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        story.then_refused(mark(1, channel_id="x"), "CHANNEL_NOT_FOUND")

    def test_each_user_has_a_marker_of_their_own(self, story: Story) -> None:
        story.given(mark(2, ANN), mark(4, BOB))

        assert (marker_of(story, ANN), marker_of(story, BOB)) == ((2, 5, 3), (4, 5, 1))


class TestUnread:
    def test_a_user_who_never_marked_has_all_unread(self, story: Story) -> None:
        assert marker_of(story) == (0, 5, 5)

    def test_a_deleted_message_keeps_its_number_and_counts(self, story: Story) -> None:
        story.given(delete(ROOT))

        assert marker_of(story) == (0, 5, 5)

    def test_a_reply_counts_only_if_it_is_shown_in_the_channel(self, story: Story) -> None:
        story.given(mark(5), reply())
        assert marker_of(story) == (5, 5, 0)

        story.given(reply(show_in_channel=True))
        assert marker_of(story) == (5, 6, 1)

    def test_a_missing_channel_is_refused(self, story: Story) -> None:
        request = GetReadMarkerRequest(channel_id="x", user_id=ANN)

        story.then_read_refused(request, "CHANNEL_NOT_FOUND")


class TestList:
    def test_it_covers_every_channel_of_the_user_marked_or_not(self, story: Story) -> None:
        story.given(channel("a"), channel("b"), channel("z"), post(channel_id="b"))
        story.given(join(), join(channel_id="b"), join(channel_id="a"), mark(2))

        page = story.read(ListReadMarkersRequest(user_id=ANN))

        assert [(one.channel_id, one.sequence, one.unread_count) for one in page.markers] == [
            ("a", 0, 0),
            ("b", 0, 1),
            (GENERAL, 2, 3),
        ]

    def test_a_left_channel_is_not_listed_and_its_marker_is_kept(self, story: Story) -> None:
        story.given(join(), mark(2), leave())

        assert list(story.read(ListReadMarkersRequest(user_id=ANN)).markers) == []
        assert marker_of(story) == (2, 5, 3)

    @pytest.mark.parametrize(("page_size", "length"), [(0, 6), (4, 4), (6, 6), (2**31 - 1, 6)])
    def test_without_a_page_size_a_page_is_as_long_as_it_may_be(
        self, page_size: int, length: int
    ) -> None:
        story = Story()
        story.limits = PageLimits(page_items_default=2, page_items_max=6)
        for n in range(7):
            story.given(channel(f"c{n}"), join(channel_id=f"c{n}"))

        page = story.read(ListReadMarkersRequest(user_id=ANN, page_size=page_size))

        assert len(page.markers) == length
        assert page.next_page_token

    def test_a_token_of_another_user_is_refused(self) -> None:
        story = Story().given(channel("a"), channel("b"), join(ANN, "a"), join(ANN, "b"))
        token = story.read(ListReadMarkersRequest(user_id=ANN, page_size=1)).next_page_token

        with pytest.raises(Refused) as caught:
            story.read(ListReadMarkersRequest(user_id=BOB, page_size=1, page_token=token))

        assert caught.value.metadata["field"] == "page_token"


class TestAudit:
    given = (
        ChannelCreated(channel_id="c", first_sequence=10),
        MessagePosted(channel_id="c", message_id="a", sequence=10),
        MessagePosted(channel_id="c", message_id="b", sequence=11),
    )

    def marked(self, sequence: int) -> ReadMarked:
        return ReadMarked(channel_id="c", user_id="u", sequence=sequence)

    def test_a_marker_that_moves_forward_is_fine(self) -> None:
        assert forged(*self.given, self.marked(10), self.marked(11)) == []

    @pytest.mark.parametrize("sequence", [10, 11])
    def test_a_marker_that_does_not_move_forward_is_a_breach(self, sequence: int) -> None:
        assert forged(*self.given, self.marked(11), self.marked(sequence)) == [
            "position 5: read marker of user u in channel c"
            f" moves from 11 to {sequence}, not forward"
        ]

    def test_a_marker_below_the_first_sequence_is_a_breach(self) -> None:
        assert forged(*self.given, self.marked(9)) == [
            "position 4: read marker of user u in channel c moves from 9 to 9, not forward"
        ]

    def test_a_marker_beyond_the_head_is_a_breach(self) -> None:
        assert forged(*self.given, self.marked(12)) == [
            "position 4: read marker of user u in channel c is at 12, beyond the head 11"
        ]
