"""Plain forms are written as protobuf writes the same values, and read like its messages."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import DoubleValue
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.channels_pb2 import ChannelCreated
from gapless.v1.common_pb2 import Body
from gapless.v1.lists_pb2 import ReorderListRequest
from gapless.v1.messages_pb2 import MessageEdited, MessagePosted, PostMessageRequest
from gapless.v1.pool_reservations_pb2 import NumbersReserved
from gapless.v1.threads_pb2 import PostReplyResponse, ReplyPosted
from gapless_server.core.plain import plain, to_message, to_plain

texts = st.text(st.characters(codec="utf-8"), max_size=300)
numbers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
bodies = st.builds(Body, data=st.binary(max_size=20_000), content_type=texts)
attributes = st.dictionaries(texts, texts, max_size=5)
messages = st.one_of(
    st.builds(
        MessagePosted,
        channel_id=texts,
        message_id=texts,
        sequence=numbers,
        sender_id=texts,
        body=st.none() | bodies,
        attributes=attributes,
    ),
    st.builds(MessageEdited, channel_id=texts, version=numbers, body=st.none() | bodies),
    st.builds(ReplyPosted, parent_message_id=texts, thread_sequence=numbers, body=bodies),
    st.builds(PostReplyResponse, message_id=texts, thread_sequence=numbers, reply_count=numbers),
    st.builds(PostMessageRequest, message_id=texts, attributes=attributes),
    st.builds(ChannelCreated, title=texts, first_sequence=numbers, attributes=attributes),
    st.builds(
        NumbersReserved,
        numbers=st.lists(numbers, max_size=5),
        shape=st.sampled_from([0, 1, 4]),
        base=st.none() | numbers,
        expire_time=st.none() | st.builds(Timestamp, seconds=st.integers(0, 2**40)),
    ),
)


@given(messages)
def test_a_plain_form_is_written_as_protobuf_writes_the_message(message: Any) -> None:
    form: Any = to_plain(plain(type(message)), message)

    assert form.write(form) == message.SerializeToString(deterministic=True)
    assert to_message(form) == message


@pytest.mark.parametrize("size_bytes", [0, 1, 127, 128, 16_383, 16_384, 16_385, 65_536])
def test_a_body_of_any_size_is_written_as_protobuf_writes_it(size_bytes: int) -> None:
    data = b"x" * size_bytes
    message = MessagePosted(channel_id="x" * size_bytes, body=Body(data=data), sequence=size_bytes)
    form: Any = to_plain(plain(MessagePosted), message)

    assert form.write(form) == message.SerializeToString(deterministic=True)


@given(messages)
def test_a_plain_form_has_the_fields_of_the_message(message: Any) -> None:
    form: Any = to_plain(plain(type(message)), message)

    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        assert getattr(form, field.name) == value or not value
        if field.has_presence:
            assert form.HasField(field.name) == message.HasField(field.name)


def test_what_is_not_given_is_not_there() -> None:
    form = plain(MessagePosted)(channel_id="c")

    assert (form.channel_id, form.sequence, form.body.data) == ("c", 0, b"")
    assert not form.HasField("body")
    assert plain(MessagePosted)(body=Body()).HasField("body")


def test_none_stands_for_what_is_not_there() -> None:
    form: Any = plain(NumbersReserved)(pool_id="p", base=None, expire_time=None)

    assert not form.HasField("base")
    assert not form.HasField("expire_time")
    assert form.write(form) == NumbersReserved(pool_id="p").SerializeToString()
    assert to_message(form) == NumbersReserved(pool_id="p")


def test_a_number_with_presence_is_there_even_if_it_is_0() -> None:
    form: Any = plain(NumbersReserved)(base=0)

    assert form.HasField("base")
    assert form.write(form) == NumbersReserved(base=0).SerializeToString()


@pytest.mark.parametrize("message_type", [DoubleValue, ReorderListRequest])
def test_a_type_with_fractions_or_lists_of_texts_has_no_plain_form(message_type: Any) -> None:
    with pytest.raises(TypeError, match="of a type that no plain form has"):
        plain(message_type)
