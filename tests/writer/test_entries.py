"""Entries and answers put together as bytes equal what protobuf makes of the same values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.commands_pb2 import CommandResult, PipelineResponse
from gapless.v1.common_pb2 import Body, Receipt
from gapless.v1.events_pb2 import Entry, Event
from gapless.v1.messages_pb2 import MessagePosted, PostMessageResponse
from gapless_server.core.times import to_timestamp
from gapless_server.core.wire import VARINTS
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.entries import Answer, EntryWriter, replayed_answer, response_form

POSTED = Event.MESSAGE_POSTED_FIELD_NUMBER
POST_MESSAGE = CommandResult.POST_MESSAGE_FIELD_NUMBER
TIME_US = 1_700_000_000_123_456

positions = st.integers(min_value=1, max_value=2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=200)


@given(
    position=positions,
    request_id=texts,
    caller=texts,
    fingerprint=st.binary(max_size=100),
    data=st.binary(max_size=20_000),
    events_count=st.integers(0, 3),
)
def test_an_entry_is_the_stored_entry_that_protobuf_would_write(
    position: int, request_id: str, caller: str, fingerprint: bytes, data: bytes, events_count: int
) -> None:
    events = [
        MessagePosted(channel_id="c", sequence=index, body=Body(data=data))
        for index in range(events_count)
    ]
    response = PostMessageResponse(message_id="m", sequence=position)
    expected = StoredRound(
        entries=[
            StoredEntry(
                entry=Entry(
                    position=position,
                    commit_time=to_timestamp(TIME_US),
                    request_id=request_id,
                    events=[Event(message_posted=event) for event in events],
                ),
                caller=caller,
                fingerprint=fingerprint,
                answer=CommandResult(post_message=response),
            )
        ]
    )

    writer = EntryWriter(TIME_US)
    written = writer.entry(
        writer.place(position),
        request_id,
        caller,
        fingerprint,
        [(POSTED, event.SerializeToString()) for event in events],
        Answer(POST_MESSAGE, response.SerializeToString()),
    )

    assert written == expected.SerializeToString(deterministic=True)


@given(position=positions, changed=st.booleans())
def test_an_answer_with_its_receipt_is_the_result_that_protobuf_would_write(
    position: int, changed: bool
) -> None:
    response = PostMessageResponse(message_id="m", sequence=7)
    form = response_form(PostMessageResponse)
    answer = Answer(POST_MESSAGE, form.write(response))
    writer = EntryWriter(TIME_US)

    writer.add_receipt(answer, form.receipt_tag, writer.place(position), changed=changed)

    response.receipt.CopyFrom(
        Receipt(position=position, commit_time=to_timestamp(TIME_US), changed=changed)
    )
    expected = CommandResult(post_message=response).SerializeToString()
    assert answer.result() == expected
    assert (
        b"".join(answer.result_in(b"\x0a"))
        == PipelineResponse(results=[CommandResult.FromString(expected)]).SerializeToString()
    )


@pytest.mark.parametrize("changed", [True, False])
def test_g3_a_replayed_answer_is_the_first_answer_marked_as_replayed(changed: bool) -> None:
    events = [Event(message_posted=MessagePosted(channel_id="c"))] if changed else []
    stored = StoredEntry(
        entry=Entry(position=9, commit_time=to_timestamp(TIME_US), events=events),
        answer=CommandResult(post_message=PostMessageResponse(message_id="m", sequence=7)),
    )

    answer = replayed_answer(stored)

    receipt = Receipt(position=9, commit_time=to_timestamp(TIME_US), replayed=True, changed=changed)
    expected = PostMessageResponse(message_id="m", sequence=7, receipt=receipt)
    assert answer.number == POST_MESSAGE
    assert PostMessageResponse.FromString(answer.response) == expected


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_varint_is_read_back_by_protobuf(value: int) -> None:
    assert Receipt.FromString(b"\x08" + VARINTS[value]).position == value
