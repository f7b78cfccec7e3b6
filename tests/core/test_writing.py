"""Writers put messages together as protobuf writes them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.wrappers_pb2 import DoubleValue
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.channels_pb2 import Channel, GetChannelRequest, ListChannelsRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import ListMessagesResponse, Message, ThreadSummary
from gapless.v1.pool_reservations_pb2 import Reservation
from gapless.v1.read_markers_pb2 import ReadMarker
from gapless.v1.threads_pb2 import ThreadParticipant
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.core.times import optional_timestamp, optional_timestamp_bytes
from gapless_server.core.writing import Written, as_message, writer
from tests.core.chat_commands import GENERAL, channel, post
from tests.core.random_requests import fill
from tests.core.story import KERNEL, Story

texts = st.text(st.characters(codec="utf-8"), max_size=300)
numbers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
natural = st.integers(min_value=0, max_value=2**63 - 1)
bodies = st.builds(Body, data=st.binary(max_size=20_000), content_type=texts)
times = st.builds(optional_timestamp, st.just(0) | st.integers(0, 2**53))
attributes = st.dictionaries(texts, texts, max_size=1)
summaries = st.builds(ThreadSummary, reply_count=natural, last_reply_time=times)
messages = st.builds(
    Message,
    channel_id=texts,
    message_id=texts,
    sequence=numbers,
    sender_id=texts,
    body=st.none() | bodies,
    attributes=attributes,
    version=natural,
    create_time=times,
    edit_time=times,
    delete_time=times,
    parent_message_id=texts,
    thread_sequence=natural,
    thread=st.none() | summaries,
    redact_time=times,
)
anything = st.one_of(
    messages,
    bodies,
    summaries,
    st.builds(
        Channel,
        channel_id=texts,
        title=texts,
        attributes=attributes,
        first_sequence=numbers,
        head_sequence=numbers,
        create_time=times,
        update_time=times,
        archive_time=times,
    ),
    st.builds(ReadMarker, channel_id=texts, user_id=texts, sequence=numbers, unread_count=natural),
    st.builds(ThreadParticipant, user_id=texts, reply_count=natural),
    st.builds(
        Reservation,
        numbers=st.lists(natural, max_size=4),
        base=st.none() | natural,
        shape=st.sampled_from([0, 1, 4]),
        expired=st.booleans(),
    ),
    st.builds(ListMessagesResponse, messages=st.lists(messages), next_page_token=texts),
)


def as_given(message: Any) -> dict[str, Any]:
    """Returns the fields of a message as a writer takes them, those that are not set as well."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is None:
            absent = field.has_presence and not message.HasField(field.name)
            found[field.name] = None if absent else value
        elif field.message_type.GetOptions().map_entry:
            found[field.name] = tuple(value.items())
        elif field.is_repeated:
            found[field.name] = [one.SerializeToString() for one in value]
        else:
            is_set = message.HasField(field.name)
            found[field.name] = value.SerializeToString() if is_set else None
    return found


@given(anything)
def test_a_message_is_written_as_protobuf_writes_it(message: Any) -> None:
    assert writer(type(message))(**as_given(message)) == message.SerializeToString()


@pytest.mark.parametrize("size_bytes", [1, 127, 128, 16_383, 16_384, 65_536])
def test_a_body_of_any_size_is_written_as_protobuf_writes_it(size_bytes: int) -> None:
    body = Body(data=b"x" * size_bytes).SerializeToString()

    written = writer(Message)(channel_id="c" * size_bytes, body=body)

    expected = Message(channel_id="c" * size_bytes, body=Body.FromString(body))
    assert written == expected.SerializeToString()


@given(st.dictionaries(texts, texts))
def test_a_map_is_written_with_all_its_pairs(pairs: dict[str, str]) -> None:
    written = writer(Channel)(attributes=tuple(pairs.items()))

    assert Channel.FromString(written) == Channel(attributes=pairs)


def test_what_is_not_given_is_not_there() -> None:
    assert writer(Message)() == b""


def test_a_field_that_the_message_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        writer(Body)(title="x")


def test_a_type_with_a_field_that_no_writer_knows_has_none() -> None:
    with pytest.raises(TypeError, match="of a type that no writer knows"):
        writer(DoubleValue)


@given(st.just(0) | st.integers(0, 2**53))
def test_an_optional_time_is_written_as_protobuf_writes_it(time_us: int) -> None:
    time = optional_timestamp(time_us)

    assert optional_timestamp_bytes(time_us) == (None if time is None else time.SerializeToString())


def test_an_answer_is_the_message_whether_it_was_written_or_not() -> None:
    body = Body(data=b"text")

    assert as_message(Written(Body, body.SerializeToString())) == body
    assert as_message(body) is body


def test_what_is_asked_for_to_be_sent_on_is_what_is_read() -> None:
    story = Story().given(channel(), post("m1"))
    limits = PageLimits()
    for request in (GetChannelRequest(channel_id=GENERAL), ListChannelsRequest()):
        data = KERNEL.ask(type(request), limits)(story.state, request, lambda: story.moment)

        assert type(story.read(request)).FromString(data) == story.read(request)


def test_what_is_asked_for_to_be_sent_on_keeps_the_rules_of_its_fields() -> None:
    ask = KERNEL.ask(GetChannelRequest, PageLimits())

    with pytest.raises(Refused, match="channel_id"):
        ask(Story().state, GetChannelRequest(), lambda: Story().moment)


def message_types() -> list[Any]:
    """Returns every type of the files that have what is read."""
    files = {request.DESCRIPTOR.file.name: request.DESCRIPTOR.file for request in KERNEL.queries}
    return [
        GetMessageClass(descriptor)
        for _name, file in sorted(files.items())
        for descriptor in file.message_types_by_name.values()
    ]


@pytest.mark.parametrize("message_type", message_types(), ids=lambda one: str(one.__name__))
def test_whatever_is_read_is_written_as_protobuf_writes_it(message_type: Any) -> None:
    dice, write = random.Random(7), writer(message_type)

    wrong = []
    for _ in range(100):
        message = message_type()
        fill(message, dice)
        if write(**as_given(message)) != message.SerializeToString():
            wrong.append(message)

    assert wrong == []
