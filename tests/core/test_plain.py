"""Plain forms are written as protobuf writes the same values, and read like its messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.channels_pb2 import ChannelCreated, CreateChannelRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.lists_pb2 import ReorderListRequest
from gapless.v1.messages_pb2 import MessageEdited, MessagePosted, PostMessageRequest
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
        if field.message_type is not None and not field.is_repeated:
            assert form.HasField(field.name) == message.HasField(field.name)


def test_what_is_not_given_is_not_there() -> None:
    form = plain(MessagePosted)(channel_id="c")

    assert (form.channel_id, form.sequence, form.body.data) == ("c", 0, b"")
    assert not form.HasField("body")
    assert plain(MessagePosted)(body=Body()).HasField("body")


@pytest.mark.parametrize("message_type", [CreateChannelRequest, ReorderListRequest])
def test_a_type_with_presence_or_lists_has_no_plain_form(message_type: Any) -> None:
    with pytest.raises(TypeError, match="of a type that no plain form has"):
        plain(message_type)
