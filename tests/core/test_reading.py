"""What a reader takes out of a command is what the slow ways would (G3)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from gapless.v1.commands_pb2 import Command
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.fingerprint import fingerprint
from gapless_server.core.plain import plain
from gapless_server.core.reading import compile_reader
from gapless_server.core.validation import Validator, check_writer
from tests.core.random_requests import fill

COMMANDS = [
    field
    for field in Command.DESCRIPTOR.oneofs_by_name["command"].fields
    if field.name != "execute_batch"
]
POST = PostMessageRequest(
    request_id="r",
    channel_id="c",
    sender_id="s",
    body=Body(data=b"hello", content_type="text/plain"),
)
NUMBER = Command.POST_MESSAGE_FIELD_NUMBER


def reader(message_type: Any, number: int = NUMBER, *, is_plain: bool = False) -> Any:
    plain_type: Any = plain(message_type) if is_plain else None
    return compile_reader(message_type, number, plain_type, check_writer(reads_all=True))


@pytest.mark.parametrize("field", COMMANDS, ids=lambda field: str(field.name))
def test_g3_a_reading_has_the_fingerprint_of_a_command_without_faults(field: Any) -> None:
    dice, validator = random.Random(7), Validator()
    request_type: Any = GetMessageClass(field.message_type)
    read = reader(request_type, field.number)

    wrong = []
    for _ in range(300):
        message = request_type()
        fill(message, dice)
        reading = read(message)
        expected = (message.request_id, fingerprint(message, field.number), message)
        if reading is not None and (validator.faults(message) or reading != expected):
            wrong.append(message)

    assert wrong == []


def test_a_usual_command_is_read_into_its_plain_form() -> None:
    request_id, said, form = reader(PostMessageRequest, is_plain=True)(POST)

    assert (request_id, said) == ("r", fingerprint(POST, NUMBER))
    assert (form.request_id, form.channel_id, form.sender_id) == ("r", "c", "s")
    assert (form.body.data, form.body.content_type) == (b"hello", "text/plain")
    assert form.body.SerializeToString() == POST.body.SerializeToString()
    assert (form.attributes, form.message_id) == ((), "")


@pytest.mark.parametrize("body", [None, Body()])
def test_an_empty_body_is_told_from_none(body: Body | None) -> None:
    post = PostMessageRequest(request_id="r", channel_id="c", sender_id="s", body=body)

    _, said, form = reader(PostMessageRequest, is_plain=True)(post)

    assert form.HasField("body") == post.HasField("body")
    assert said == fingerprint(post, NUMBER)


def test_what_a_body_has_of_a_later_version_is_kept() -> None:
    later = b"\x7a\x03new"
    post = PostMessageRequest.FromString(POST.SerializeToString())
    post.body.MergeFromString(later)

    _, said, form = reader(PostMessageRequest, is_plain=True)(post)

    assert form.body.SerializeToString() == POST.body.SerializeToString() + later
    assert said == fingerprint(post, NUMBER)


@pytest.mark.parametrize("change", [{"attributes": {"a": "1"}}, {"sender_id": "\n"}])
def test_it_is_not_sure_of_what_it_does_not_look_into(change: Any) -> None:
    post = PostMessageRequest(request_id="r", channel_id="c")
    post.MergeFrom(POST)
    post.MergeFrom(PostMessageRequest(**change))

    assert reader(PostMessageRequest)(post) is None
