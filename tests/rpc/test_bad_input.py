"""Bad input gets its documented error, which names the field, and nothing of it is applied."""

from __future__ import annotations

import grpc
import pytest

from gapless.v1.channels_pb2 import (
    CreateChannelRequest,
    CreateChannelResponse,
    GetChannelRequest,
    GetChannelResponse,
    UpdateChannelRequest,
)
from gapless.v1.commands_pb2 import Command, ExecuteRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import ListMessagesRequest, PostMessageRequest, PostMessageResponse
from gapless.v1.operations_pb2 import GetNamespaceRequest
from gapless.v1.read_markers_pb2 import MarkReadRequest
from tests.rpc.bad_requests import bad_requests, methods, short_name
from tests.rpc.wire import GENERAL, Wire

INT64_MAX = 2**63 - 1
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def assert_untouched(wire: Wire) -> None:
    """Nothing was ever committed in the namespace."""
    refusal = await wire.refusal("OperationsService/GetNamespace", GetNamespaceRequest())
    assert refusal.reason == "NAMESPACE_NOT_FOUND"


async def test_every_rule_of_every_field_is_enforced_naming_the_field(wire: Wire) -> None:
    count = 0
    for bad in bad_requests():
        refusal = await wire.refusal(bad.method, bad.request)
        count += 1

        assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD"), bad
        assert bad.field in refusal.fields, (str(bad), refusal.fields)
        assert refusal.metadata["field"] in refusal.fields, bad

    assert count > 500
    await assert_untouched(wire)


async def test_text_that_is_not_utf_8_is_refused_naming_the_field(wire: Wire) -> None:
    lone_surrogate = b"\xed\xa0\x80"
    for method in methods():
        for field in method.input_type.fields:
            if field.type != field.TYPE_STRING or field.number > 15:
                continue
            data = bytes([field.number << 3 | 2, len(lone_surrogate)]) + lone_surrogate

            refusal = await wire.refusal(short_name(method), data)

            assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_MESSAGE")
            name = f"{field.name}[0]" if field.is_repeated else field.name
            assert refusal.fields == {name: "is not valid UTF-8 at byte 0"}
            assert refusal.metadata["type"] == method.input_type.name
    await assert_untouched(wire)


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x0a\x05abc", b"\x0b", b"\x0a", b"\x80" * 11, b"\x0a\xff\xff\xff\xff\x0f"],
    ids=["tag", "short", "group", "no length", "endless number", "huge length"],
)
async def test_bytes_that_are_no_message_are_refused_by_every_method(
    wire: Wire, data: bytes
) -> None:
    for method in methods():
        if not method.input_type.fields:
            continue
        refusal = await wire.refusal(short_name(method), data)

        assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_MESSAGE")
        assert refusal.metadata["type"] == method.input_type.name
    await assert_untouched(wire)


async def test_text_in_an_inner_message_that_is_not_utf_8_is_named_by_its_path(wire: Wire) -> None:
    bad_body = b"\x12\x02\xff\xfe"  # content_type
    data = b"\x22" + bytes([len(bad_body)]) + bad_body

    refusal = await wire.refusal("MessageService/PostMessage", data)

    assert refusal.fields == {"body.content_type": "is not valid UTF-8 at byte 0"}


async def test_several_faults_are_all_named(wire: Wire) -> None:
    request = PostMessageRequest(
        sender_id="a\0b",
        body=Body(content_type="x" * 256),
        attributes={"k": "v" * 1025},
    )

    refusal = await wire.refusal("MessageService/PostMessage", request)

    assert set(refusal.fields) == {
        "request_id",
        "channel_id",
        "sender_id",
        "body.content_type",
        "attributes['k']",
    }


async def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_refused(wire: Wire) -> None:
    await wire.create_channel()
    request = PostMessageRequest(request_id="r", channel_id=GENERAL, sender_id="ann")

    request.body.data = b"x" * 65_537
    refusal = await wire.refusal("MessageService/PostMessage", request)
    request.body.data = b"x" * 65_536
    posted = await wire.call("MessageService/PostMessage", request, PostMessageResponse)

    assert refusal.fields == {"body.data": "must have at most 65536 bytes, found 65537"}
    assert posted.sequence == 1


async def test_a_body_of_10_mb_is_refused_naming_the_field(wire: Wire) -> None:
    request = PostMessageRequest(request_id="r", channel_id=GENERAL, sender_id="ann")
    request.body.data = b"x" * 10_000_000

    refusal = await wire.refusal("MessageService/PostMessage", request)

    assert refusal.fields == {"body.data": "must have at most 65536 bytes, found 10000000"}
    await assert_untouched(wire)


async def test_a_message_beyond_the_limit_of_the_service_is_refused_and_it_stays_up(
    wire: Wire,
) -> None:
    request = PostMessageRequest(request_id="r", channel_id=GENERAL, sender_id="ann")
    request.body.data = b"x" * (17 * 1024 * 1024)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await wire.call("MessageService/PostMessage", request, PostMessageResponse)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await wire.create_channel()


@pytest.mark.parametrize("method", ["ConfigService/SetConfig", "CommandService/ExecuteBatch"])
async def test_g7_a_request_of_millions_of_empty_messages_is_refused_without_making_them(
    wire: Wire, method: str
) -> None:
    """16 MiB of them held up all other calls for 7 s, and took a gigabyte."""
    data = b"\x12\x00" * 2_000_000

    refusal = await wire.refusal(method, data)

    assert (refusal.reason, refusal.metadata["bytes"]) == ("COMMAND_TOO_LARGE", str(len(data)))


@pytest.mark.parametrize("first_sequence", [0, -1, -INT64_MAX - 1])
async def test_a_first_sequence_below_1_is_refused(wire: Wire, first_sequence: int) -> None:
    request = CreateChannelRequest(
        request_id="r", channel_id=GENERAL, first_sequence=first_sequence
    )

    refusal = await wire.refusal("ChannelService/CreateChannel", request)

    assert refusal.fields == {"first_sequence": f"must be at least 1, found {first_sequence}"}


async def test_a_first_sequence_beyond_int64_arrives_as_a_negative_one_and_is_refused(
    wire: Wire,
) -> None:
    good = CreateChannelRequest(request_id="r", channel_id=GENERAL).SerializeToString()
    beyond = b"\x28" + b"\xff" * 9 + b"\x01"  # field 5, 2^64 - 1

    refusal = await wire.refusal("ChannelService/CreateChannel", good + beyond)

    assert refusal.fields == {"first_sequence": "must be at least 1, found -1"}


async def test_g1_a_channel_that_has_given_its_last_number_refuses_and_stays_as_it_was(
    wire: Wire,
) -> None:
    request = CreateChannelRequest(
        request_id="create", channel_id=GENERAL, first_sequence=INT64_MAX
    )
    await wire.call("ChannelService/CreateChannel", request, CreateChannelResponse)
    post = PostMessageRequest(request_id="p1", channel_id=GENERAL, sender_id="ann")
    posted = await wire.call("MessageService/PostMessage", post, PostMessageResponse)
    post.request_id = "p2"

    refusal = await wire.refusal("MessageService/PostMessage", post)

    assert posted.sequence == INT64_MAX
    assert refusal.reason == "SEQUENCE_EXHAUSTED"
    assert refusal.metadata == {"channel_id": GENERAL, "head_sequence": str(INT64_MAX)}
    channel = await wire.call(
        "ChannelService/GetChannel", GetChannelRequest(channel_id=GENERAL), GetChannelResponse
    )
    assert channel.channel.head_sequence == INT64_MAX


@pytest.mark.parametrize("sequence", [0, -5])
async def test_marking_read_at_no_sequence_is_refused(wire: Wire, sequence: int) -> None:
    request = MarkReadRequest(request_id="r", channel_id=GENERAL, user_id="ann", sequence=sequence)

    refusal = await wire.refusal("ReadMarkerService/MarkRead", request)

    assert set(refusal.fields) == {"sequence"}


@pytest.mark.parametrize("start_sequence", [1, 5, INT64_MAX])
async def test_a_list_may_begin_anywhere_up_to_the_largest_sequence(
    wire: Wire, start_sequence: int
) -> None:
    await wire.create_channel()
    request = ListMessagesRequest(channel_id=GENERAL, start_sequence=start_sequence)

    await wire.call("MessageService/ListMessages", request, GetChannelResponse)


@pytest.mark.parametrize(
    ("paths", "fault"), [([], "update_mask"), (["no_such_field"], "update_mask")]
)
async def test_an_update_of_nothing_or_of_something_unknown_is_refused(
    wire: Wire, paths: list[str], fault: str
) -> None:
    await wire.create_channel()
    request = UpdateChannelRequest(request_id="r", channel_id=GENERAL)
    request.update_mask.paths.extend(paths)
    request.update_mask.SetInParent()

    refusal = await wire.refusal("ChannelService/UpdateChannel", request)

    assert any(field.startswith(fault) for field in refusal.fields)


@pytest.mark.parametrize(
    "request_data",
    [b"", ExecuteRequest(command=Command()).SerializeToString()],
    ids=["no command", "an empty command"],
)
async def test_a_command_without_its_content_is_refused(wire: Wire, request_data: bytes) -> None:
    refusal = await wire.refusal("CommandService/Execute", request_data)

    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert set(refusal.fields) == {"command"}
    await assert_untouched(wire)


async def test_a_command_of_a_kind_that_this_version_does_not_know_is_refused(wire: Wire) -> None:
    unknown = b"\xfa\x3f\x00"  # field 1023, as a later version may have it
    data = b"\x0a" + bytes([len(unknown)]) + unknown

    refusal = await wire.refusal("CommandService/Execute", data)

    assert set(refusal.fields) == {"command"}


async def test_every_fault_of_a_command_is_named_by_execute_as_by_its_own_method(
    wire: Wire,
) -> None:
    fields: dict[str, str] = {
        field.message_type.name: field.name
        for field in Command.DESCRIPTOR.oneofs_by_name["command"].fields
        if field.message_type is not None
    }
    for bad in bad_requests():
        name = fields.get(bad.request.DESCRIPTOR.name)
        if name is None:
            continue
        command = Command(**{name: bad.request})  # type: ignore[arg-type]  # its field

        refusal = await wire.refusal("CommandService/Execute", ExecuteRequest(command=command))

        assert bad.field in refusal.fields, (str(bad), refusal.fields)
    await assert_untouched(wire)


async def test_methods_and_services_that_do_not_exist_are_unimplemented(wire: Wire) -> None:
    for method in ("ChannelService/NoSuchMethod", "NoSuchService/GetChannel"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await wire.call(method, b"", GetChannelResponse)

        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
