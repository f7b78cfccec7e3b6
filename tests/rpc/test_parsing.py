"""Whatever bytes come: a message, or a refusal that says what is wrong with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest, PipelineRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.refusals import Refused
from gapless_server.core.wire import bytes_tag, field
from gapless_server.rpc.frames import FrameTaker
from gapless_server.rpc.parsing import (
    LOOKS_MAX,
    NESTING_MAX,
    UNCOUNTED_BYTES_MAX,
    command_parser,
    malformed,
    parse,
    parse_frame,
)
from tests.rpc.bad_requests import methods
from tests.rpc.wire import frame, post
from tests.writer.harness import KERNEL

REQUESTS: list[Any] = [GetMessageClass(method.input_type) for method in methods()]
COMMANDS_MAX = 10
COMMANDS_OF_A_FRAME = PipelineRequest.COMMANDS_FIELD_NUMBER
COMMANDS = ExecuteBatchRequest.COMMANDS_FIELD_NUMBER
BATCH, POST = Command.EXECUTE_BATCH_FIELD_NUMBER, Command.POST_MESSAGE_FIELD_NUMBER
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


def taken_frame(data: bytes, commands_max: int) -> Sequence[Command | Refused]:
    """Returns the commands of a frame as the service takes it apart, compiled if it can be."""
    return FrameTaker(KERNEL, commands_max).frame(data, "caller").commands


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


def inside(data: bytes, path: Iterable[int]) -> bytes:
    """Returns bytes as a field of a field, and so on; the numbers are from the inside out."""
    for number in path:
        data = field(bytes_tag(number), data)
    return data


def test_a_malformed_member_of_a_batch_is_told_by_its_place() -> None:
    batch = ExecuteBatchRequest(commands=[post(""), post("")]).SerializeToString()
    bad_channel = inside(b"\xff", (PostMessageRequest.CHANNEL_ID_FIELD_NUMBER, POST, COMMANDS))

    found = parsed_or_refused(parse, ExecuteBatchRequest, batch + bad_channel)

    assert found.metadata["field"] == "commands[2].post_message.channel_id"


@pytest.mark.parametrize("batches", [50, 51])
def test_messages_that_are_nested_too_deeply_are_told_so(batches: int) -> None:
    data = inside(b"", (BATCH, COMMANDS) * batches)

    found = parsed_or_refused(parse, ExecuteBatchRequest, data)

    if 2 * batches <= NESTING_MAX:
        assert isinstance(found, ExecuteBatchRequest)
    else:
        assert found.metadata["description"].endswith("is nested deeper than 100 messages")
        assert found.metadata["field"].startswith("commands[0].execute_batch.commands[0].")


def test_a_field_without_a_number_is_told_by_its_place() -> None:
    found = parsed_or_refused(parse, PostMessageRequest, b"\x0a\x01r\x00\x00")

    assert found.metadata["description"] == "there is no field 0, as at byte 4"


def test_g7_what_is_wrong_with_a_large_message_is_found_without_copies_of_it() -> None:
    size_bytes = 4 * 1024 * 1024
    data = inside(field(bytes_tag(1000), bytes(size_bytes)), (BATCH, COMMANDS) * 51)

    tracemalloc.start()
    malformed(ExecuteBatchRequest.DESCRIPTOR, data)
    _now, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < size_bytes / 4


@pytest.mark.parametrize("take_apart", [parse_frame, taken_frame])
async def test_g7_faults_are_looked_for_in_so_many_fields_of_a_frame_however_many_are_malformed(
    take_apart: Callable[[bytes, int], Sequence[Command | Refused]],
) -> None:
    """With as many for each of its commands, a frame of 16 MiB held up all else for a minute."""
    looked_at = LOOKS_MAX // 10
    bad = b"\xf8\x07\x00" * (looked_at - 1) + inside(b"\xff", (1, POST))

    refusals = list(take_apart(inside(bad, (COMMANDS_OF_A_FRAME,)) * 12, 12))

    assert all(isinstance(one, Refused) for one in refusals)
    told = [one.metadata["field"] for one in refusals if isinstance(one, Refused)]
    assert told[0] == "post_message.request_id"
    assert told[-1] == ""
