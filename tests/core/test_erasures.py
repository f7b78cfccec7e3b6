"""Erasures, given, when, then: what is named for erasing, what is left, and what an audit finds."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1 import erasures_pb2, messages_pb2
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.common_pb2 import Body
from gapless_server.core.kinds.erasures import MESSAGES_ERASED_MAX, MESSAGES_SEEN_MAX
from tests.core.story import Story, forged

CHANNEL = "general"


def post(message_id: str, sender_id: str = "ann") -> messages_pb2.PostMessageRequest:
    return messages_pb2.PostMessageRequest(
        channel_id=CHANNEL, sender_id=sender_id, message_id=message_id, body=Body(data=b"text")
    )


def bare(message_id: str, **attributes: str) -> messages_pb2.PostMessageRequest:
    """A message without a body."""
    return messages_pb2.PostMessageRequest(
        channel_id=CHANNEL, sender_id="ann", message_id=message_id, attributes=attributes
    )


def edit(message_id: str) -> messages_pb2.EditMessageRequest:
    return messages_pb2.EditMessageRequest(
        channel_id=CHANNEL, message_id=message_id, body=Body(data=b"other")
    )


def redact(message_id: str) -> erasures_pb2.RedactMessageRequest:
    return erasures_pb2.RedactMessageRequest(
        channel_id=CHANNEL, message_id=message_id, requested_by="officer", reason="asked for"
    )


def redact_user(sender_id: str, after: str = "") -> erasures_pb2.RedactUserRequest:
    return erasures_pb2.RedactUserRequest(
        channel_id=CHANNEL, sender_id=sender_id, requested_by="officer", after_message_id=after
    )


@pytest.fixture
def story() -> Story:
    story = Story()
    story.given(CreateChannelRequest(channel_id=CHANNEL))
    return story


def test_an_erasure_names_every_entry_with_the_content(story: Story) -> None:
    story.given(post("m1"), post("m2"), edit("m1"))

    story.when(redact("m1"))

    assert story.then_events() == [
        erasures_pb2.MessageRedacted(
            channel_id=CHANNEL,
            message_id="m1",
            requested_by="officer",
            reason="asked for",
            erased_positions=[2, 4],
        )
    ]


def test_nothing_left_to_erase_is_no_event(story: Story) -> None:
    story.given(post("m1"), redact("m1"))

    story.when(redact("m1"))

    assert story.then_events() == []


@pytest.mark.parametrize("asked", [redact("m1"), redact_user("ann")])
def test_a_message_without_content_is_nothing_to_erase(story: Story, asked: Message) -> None:
    story.given(bare("m1"))

    story.when(asked)

    assert story.then_events() == []


def test_attributes_alone_are_content(story: Story) -> None:
    story.given(bare("m1", color="red"))

    story.when(redact("m1"))

    assert len(story.then_events()) == 1


@pytest.mark.parametrize(
    "command",
    [
        messages_pb2.EditMessageRequest(channel_id=CHANNEL, message_id="m1"),
        messages_pb2.DeleteMessageRequest(channel_id=CHANNEL, message_id="m1"),
    ],
)
def test_content_that_is_no_longer_shown_is_erased_too(story: Story, command: Message) -> None:
    """What the message had when it was posted is still in the log."""
    story.given(bare("m1", color="red"), command)

    story.when(redact("m1"))

    [event] = story.then_events()
    assert isinstance(event, erasures_pb2.MessageRedacted)
    assert 2 in event.erased_positions


def test_what_is_not_there_is_refused(story: Story) -> None:
    story.then_refused(redact("m1"), "MESSAGE_NOT_FOUND")
    story.then_refused(
        erasures_pb2.RedactUserRequest(channel_id="no", sender_id="ann", requested_by="officer"),
        "CHANNEL_NOT_FOUND",
    )


def test_an_erasure_in_a_failed_batch_is_taken_back(story: Story) -> None:
    story.given(post("m1"))

    story.undone([redact("m1"), redact("m2")])


def test_g7_one_command_erases_so_many_messages_and_says_where_to_go_on(story: Story) -> None:
    for number in range(MESSAGES_ERASED_MAX + 1):
        story.given(post(f"m{number:04}"))

    first = story.when(redact_user("ann"))
    second = story.when(redact_user("ann", first.next_after_message_id))

    assert len(first.message_ids) == MESSAGES_ERASED_MAX
    assert first.next_after_message_id == f"m{MESSAGES_ERASED_MAX - 1:04}"
    assert list(second.message_ids) == [f"m{MESSAGES_ERASED_MAX:04}"]
    assert second.next_after_message_id == ""


def test_g7_one_command_looks_at_so_many_messages_and_says_where_to_go_on(story: Story) -> None:
    for number in range(MESSAGES_SEEN_MAX):
        story.given(post(f"m{number:04}", "bob"))
    story.given(post("n", "ann"))

    first = story.when(redact_user("ann"))
    second = story.when(redact_user("ann", first.next_after_message_id))

    assert (list(first.message_ids), first.next_after_message_id) == ([], "m0999")
    assert (list(second.message_ids), second.next_after_message_id) == (["n"], "")


def test_an_audit_finds_content_that_should_be_gone() -> None:
    posted = messages_pb2.MessagePosted(
        channel_id=CHANNEL, message_id="m1", sequence=1, body=Body(data=b"text")
    )
    redacted = erasures_pb2.MessageRedacted(
        channel_id=CHANNEL, message_id="m1", erased_positions=[1]
    )

    breaches = forged(posted, redacted)

    assert (
        "position 2: erased message m1 of channel general, whose content stands at position 1"
        in breaches
    )
