"""Whatever bytes come: a message, or a refusal that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.refusals import Refused
from gapless_server.rpc.parsing import (
    LOOKS_MAX,
    UNCOUNTED_BYTES_MAX,
    command_parser,
    malformed,
    parse,
    parse_frame,
)
from tests.rpc.bad_requests import methods
from tests.rpc.wire import frame, post

REQUESTS: list[Any] = [GetMessageClass(method.input_type) for method in methods()]
COMMANDS_MAX = 10
GOOD = [post(f"p{n}", "text") for n in range(3)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draws a serialized command with some bytes changed, cut off or put in."""
    data = bytearray(post("request id", "text", channel_id="ünï").SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 3))
        data[place : place + cut] = draw(st.binary(max_size=3))
    return bytes(data)


def member(data: bytes) -> bytes:
    """Returns bytes as a command of a frame."""
    length = len(data)
    head = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
    return b"\x0a" + head + data


def parsed_or_refused(function: Callable[..., Any], *arguments: object) -> Any:
    """Returns what a function returns, or the refusal that it raises."""
    try:
        return function(*arguments)
    except Refused as refusal:
        return refusal


@given(request_type=st.sampled_from(REQUESTS), data=st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused_as_malformed(request_type: Any, data: bytes) -> None:
    found = parsed_or_refused(parse, request_type, data)

    if isinstance(found, Refused):
        assert found.row.reason == "MALFORMED_MESSAGE"
        assert found.metadata["type"] == request_type.DESCRIPTOR.name
    else:
        assert found == request_type.FromString(data)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused_as_malformed(data: bytes) -> None:
    found = parsed_or_refused(parse_frame, data, len(data))

    if isinstance(found, Refused):
        assert found.row.reason == "MALFORMED_MESSAGE"
        assert found.metadata["type"] == "PipelineRequest"
    else:
        assert all(isinstance(command, Command | Refused) for command in found)


@given(bad=damaged())
def test_g5_a_damaged_command_leaves_the_others_of_its_frame_as_they_are(bad: bytes) -> None:
    data = frame(GOOD[0]) + member(bad) + frame(GOOD[1], GOOD[2])

    first, odd, *rest = parse_frame(data, COMMANDS_MAX)

    assert [first, *rest] == GOOD
    if isinstance(odd, Command):
        assert odd == Command.FromString(bad)
    else:
        assert odd.row.reason == "MALFORMED_MESSAGE"
        assert odd.metadata["type"] == "Command"


@given(count=st.integers(0, 5))
def test_a_good_frame_is_its_commands(count: int) -> None:
    commands = [post(f"p{n}") for n in range(count)]

    assert (
        parse_frame(PipelineRequest(commands=commands).SerializeToString(), COMMANDS_MAX)
        == commands
    )


@pytest.mark.parametrize("broken", [b"", b"\x0a"], ids=["whole", "cut off"])
@pytest.mark.parametrize("count", [COMMANDS_MAX + 1, UNCOUNTED_BYTES_MAX])
def test_g7_a_frame_of_too_many_commands_is_refused_whether_it_is_whole_or_not(
    count: int, broken: bytes
) -> None:
    """Empty ones: two bytes each."""
    with pytest.raises(Refused) as caught:
        parse_frame(b"\x0a\x00" * count + broken, COMMANDS_MAX)

    assert caught.value.row.reason == "FRAME_TOO_LARGE"
    assert caught.value.metadata["commands_max"] == str(COMMANDS_MAX)


def test_g7_a_fault_is_looked_for_in_so_many_fields_only() -> None:
    wrong = PostMessageRequest.DESCRIPTOR.fields_by_name["channel_id"].number << 3 | 2
    unknown = b"\xf8\x07\x00"
    bad_text = bytes((wrong, 1, 0xFF))

    found = malformed(PostMessageRequest.DESCRIPTOR, unknown * (LOOKS_MAX - 1) + bad_text)
    not_found = malformed(PostMessageRequest.DESCRIPTOR, unknown * LOOKS_MAX + bad_text)

    assert found.metadata["field"] == "channel_id"
    assert not_found.metadata["field"] == ""


def test_the_bytes_of_a_request_are_the_command_that_holds_the_request() -> None:
    request = PostMessageRequest(request_id="r", channel_id="c", body=Body(data=b"hello"))
    parse_command = command_parser(PostMessageRequest, "post_message")

    assert parse_command(request.SerializeToString()) == Command(post_message=request)
    assert parse_command(b"") == Command(post_message=PostMessageRequest())


def test_a_malformed_request_is_told_by_its_own_fields_and_not_by_those_of_the_command() -> None:
    not_utf8 = b"\x0a\x01\xff"
    with pytest.raises(Refused) as told:
        command_parser(PostMessageRequest, "post_message")(not_utf8)

    with pytest.raises(Refused) as expected:
        parse(PostMessageRequest, not_utf8)
    assert told.value.metadata == expected.value.metadata
    assert told.value.metadata["field"] == "request_id"
