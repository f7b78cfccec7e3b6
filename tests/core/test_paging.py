"""Pages: any size gives the same list, and a token leads on only in the query that gave it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import ListChannelsRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.memberships_pb2 import ListMembershipsRequest, ListMembersRequest
from gapless.v1.messages_pb2 import (
    LIST_ORDER_ASCENDING,
    LIST_ORDER_DESCENDING,
    ListMessagesRequest,
    PostMessageRequest,
)
from gapless.v1.push_subscriptions_pb2 import (
    ListPushSubscriptionsRequest,
    UpsertPushSubscriptionRequest,
)
from gapless.v1.reactions_pb2 import ListReactionsRequest
from gapless.v1.read_markers_pb2 import ListReadMarkersRequest
from gapless.v1.threads_pb2 import ListRepliesRequest, ListThreadParticipantsRequest
from gapless_server.core.paging import PageLimits, page_items
from tests.core.chat_commands import (
    ANN,
    GENERAL,
    ROOT,
    add,
    channel,
    delete,
    join,
    leave,
    post,
    remove,
    reply,
)
from tests.core.story import Story

ITEMS = 7

# Each list of the chat kinds, with the field of its page that holds the items.
LISTS: dict[str, tuple[Message, str]] = {
    "channels": (ListChannelsRequest(), "channels"),
    "messages": (ListMessagesRequest(channel_id=GENERAL), "messages"),
    "messages, descending": (
        ListMessagesRequest(channel_id=GENERAL, order=LIST_ORDER_DESCENDING),
        "messages",
    ),
    "messages from a sequence": (
        ListMessagesRequest(channel_id=GENERAL, start_sequence=3),
        "messages",
    ),
    "messages down from a sequence": (
        ListMessagesRequest(channel_id=GENERAL, start_sequence=5, order=LIST_ORDER_DESCENDING),
        "messages",
    ),
    "replies": (ListRepliesRequest(channel_id=GENERAL, parent_message_id=ROOT), "replies"),
    "replies, descending": (
        ListRepliesRequest(channel_id=GENERAL, parent_message_id=ROOT, order=LIST_ORDER_DESCENDING),
        "replies",
    ),
    "participants": (
        ListThreadParticipantsRequest(channel_id=GENERAL, parent_message_id=ROOT),
        "participants",
    ),
    "reactions": (ListReactionsRequest(channel_id=GENERAL, message_id=ROOT), "reactions"),
    "members": (ListMembersRequest(channel_id=GENERAL), "memberships"),
    "memberships": (ListMembershipsRequest(user_id=ANN), "memberships"),
    "read markers": (ListReadMarkersRequest(user_id=ANN), "markers"),
    "push subscriptions": (ListPushSubscriptionsRequest(user_id=ANN), "subscriptions"),
}


@pytest.fixture
def story() -> Story:
    """Everything that can be listed, seven times."""
    story = Story().given(channel(), post(ROOT))
    for n in range(1, ITEMS):
        story.given(channel(f"channel-{n}"), post(f"m{n}"), join(ANN, f"channel-{n}"))
    for n in range(ITEMS):
        story.given(reply(f"r{n}", f"user-{n}"), join(f"user-{n}"), add(f"user-{n // 2}", f"e{n}"))
        story.given(UpsertPushSubscriptionRequest(user_id=ANN, endpoint=f"https://e/{n}"))
    return story


def page_of(
    story: Story, request: Message, items: str, page_size: int, token: str = ""
) -> tuple[list[Any], str]:
    asked: Any = type(request)()
    asked.CopyFrom(request)
    asked.page_size = page_size
    asked.page_token = token
    page = story.read(asked)
    return list(getattr(page, items)), page.next_page_token


def all_of(
    story: Story,
    request: Message,
    items: str,
    page_size: int,
    between: Callable[[], object] = lambda: None,
) -> list[Any]:
    """Reads page by page to the end; `between` is called after each page."""
    found: list[Any] = []
    token = ""
    while True:
        before, (page, token) = token, page_of(story, request, items, page_size, token)
        assert len(page) <= page_size
        assert token != before or not token
        found += page
        if not token:
            return found
        between()


@pytest.mark.parametrize(("request_", "items"), LISTS.values(), ids=LISTS)
class TestEveryList:
    def test_any_page_size_gives_the_same_list(
        self, story: Story, request_: Message, items: str
    ) -> None:
        whole, token = page_of(story, request_, items, 1000)
        assert len(whole) >= 5
        assert token == ""

        for page_size in range(1, len(whole) + 2):
            assert all_of(story, request_, items, page_size) == whole

    def test_a_page_that_ends_with_the_list_is_the_last(
        self, story: Story, request_: Message, items: str
    ) -> None:
        whole, _ = page_of(story, request_, items, 1000)

        _, token = page_of(story, request_, items, len(whole))

        assert token == ""

    def test_a_token_of_another_query_is_refused(
        self, story: Story, request_: Message, items: str
    ) -> None:
        for other, other_items in LISTS.values():
            _, token = page_of(story, other, other_items, 2)
            asked: Any = type(request_)()
            asked.CopyFrom(request_)
            asked.page_token = token
            if (type(other), other) == (type(request_), request_):
                assert len(getattr(story.read(asked), items)) > 0
            else:
                refusal = story.then_read_refused(asked, "INVALID_FIELD")
                assert refusal.metadata["field"] == "page_token"


class TestTokens:
    def test_a_token_holds_for_another_page_size(self, story: Story) -> None:
        request = ListMessagesRequest(channel_id=GENERAL)
        _, token = page_of(story, request, "messages", 2)

        page, _ = page_of(story, request, "messages", 3, token)

        assert [one.sequence for one in page] == [3, 4, 5]

    def test_a_token_of_the_other_direction_is_refused(self, story: Story) -> None:
        up = ListMessagesRequest(channel_id=GENERAL, order=LIST_ORDER_ASCENDING)
        _, token = page_of(story, up, "messages", 2)

        story.then_read_refused(
            ListMessagesRequest(channel_id=GENERAL, order=LIST_ORDER_DESCENDING, page_token=token),
            "INVALID_FIELD",
        )

    @pytest.mark.parametrize(
        "token",
        [
            "x",
            "not a token",
            "ü",
            "\0",
            "AAAA",
            "x" * 100_000,
            base64.urlsafe_b64encode(b"").decode() or "=",
            base64.urlsafe_b64encode(b"\xff" * 20).decode(),
            base64.urlsafe_b64encode(msgspec.msgpack.encode((1, 2))).decode(),
            base64.urlsafe_b64encode(msgspec.msgpack.encode((1, "2"))).decode(),
            base64.urlsafe_b64encode(msgspec.msgpack.encode({"a": 1})).decode(),
        ],
    )
    def test_garbage_is_refused(self, story: Story, token: str) -> None:
        refusal = story.then_read_refused(
            ListMessagesRequest(channel_id=GENERAL, page_token=token), "INVALID_FIELD"
        )

        assert refusal.metadata == {
            "field": "page_token",
            "description": "is not a next_page_token of this query; begin without it",
        }

    def test_a_token_with_a_key_of_another_type_is_refused(self, story: Story) -> None:
        """Its digest is right: somebody took a token apart and put another key in."""
        request = ListMessagesRequest(channel_id=GENERAL)
        _, token = page_of(story, request, "messages", 2)
        digest, _ = msgspec.msgpack.decode(base64.urlsafe_b64decode(token))
        for key in ("a", 1.5, None, [1], 2**64 - 1, -(2**63)):
            forged = base64.urlsafe_b64encode(msgspec.msgpack.encode((digest, key))).decode()
            asked = ListMessagesRequest(channel_id=GENERAL, page_token=forged)
            if isinstance(key, int):
                story.read(asked)
            else:
                story.then_read_refused(asked, "INVALID_FIELD")


class TestChangesBetweenPages:
    def test_a_post_between_pages_is_seen_once_upwards(self, story: Story) -> None:
        request = ListMessagesRequest(channel_id=GENERAL)
        new = iter(["new-1", "new-2"])

        def post_one() -> None:
            if message_id := next(new, None):
                story.given(post(message_id))

        found = all_of(story, request, "messages", 2, post_one)

        assert [one.sequence for one in found] == list(range(1, ITEMS + 3))

    def test_a_post_between_pages_is_not_seen_downwards(self, story: Story) -> None:
        request = ListMessagesRequest(channel_id=GENERAL, order=LIST_ORDER_DESCENDING)

        found = all_of(story, request, "messages", 2, lambda: story.given(post()))

        assert [one.sequence for one in found] == list(range(ITEMS, 0, -1))

    def test_a_deletion_between_pages_leaves_its_tombstone_in_the_list(self, story: Story) -> None:
        request = ListMessagesRequest(channel_id=GENERAL)

        found = all_of(story, request, "messages", 3, lambda: story.given(delete("m4")))

        assert [one.sequence for one in found] == list(range(1, ITEMS + 1))
        assert found[4].HasField("delete_time")

    def test_members_that_come_and_go_do_not_move_the_others(self, story: Story) -> None:
        """One leaves that a page ended with, one that comes later; one joins on either side."""
        request = ListMembersRequest(channel_id=GENERAL)
        first, token = page_of(story, request, "memberships", 3)
        assert first[-1].user_id == "user-2"

        story.given(leave("user-2"), leave("user-5"), join("user-0a"), join("user-3a"))
        rest, _ = page_of(story, request, "memberships", 1000, token)

        assert [one.user_id for one in rest] == ["user-3", "user-3a", "user-4", "user-6"]

    def test_reactions_that_come_and_go_do_not_move_the_others(self, story: Story) -> None:
        request = ListReactionsRequest(channel_id=GENERAL, message_id=ROOT)
        first, token = page_of(story, request, "reactions", 2)
        assert (first[-1].emoji, first[-1].user_id) == ("e1", "user-0")

        story.given(remove("user-0", "e1"), add("user-9", "e1"), add("user-9", "e0"))
        rest, _ = page_of(story, request, "reactions", 2, token)

        assert [(one.emoji, one.user_id) for one in rest] == [("e1", "user-9"), ("e2", "user-1")]


class TestLimits:
    @pytest.mark.parametrize(
        ("requested", "items"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
    )
    def test_zero_is_the_default_and_too_many_the_maximum(self, requested: int, items: int) -> None:
        assert page_items(requested, PageLimits()) == items

    def test_a_page_ends_before_it_grows_too_large(self) -> None:
        story = Story().given(channel())
        story.limits = PageLimits(page_bytes_max=2500)
        body = Body(data=bytes(1000))
        for _ in range(5):
            story.given(PostMessageRequest(channel_id=GENERAL, sender_id=ANN, body=body))

        request = ListMessagesRequest(channel_id=GENERAL)
        first, token = page_of(story, request, "messages", 1000)

        assert len(first) == 2
        assert token
        assert len(all_of(story, request, "messages", 1000)) == 5

    def test_a_single_item_is_given_however_large(self) -> None:
        story = Story().given(channel(), post(), post())
        story.limits = PageLimits(page_bytes_max=1)

        found = all_of(story, ListMessagesRequest(channel_id=GENERAL), "messages", 1000)

        assert [one.sequence for one in found] == [1, 2]
