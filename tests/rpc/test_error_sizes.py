"""An error fits into what gRPC takes as trailers (8 KiB), whatever the ids in it are."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from gapless.v1 import errors_pb2
from gapless.v1.channels_pb2 import CreateChannelRequest, UpdateChannelRequest
from gapless.v1.commands_pb2 import Command
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless.v1.reactions_pb2 import AddReactionRequest, RemoveReactionRequest
from gapless_server.core.refusals import Refused
from gapless_server.rpc.status import DETAILS_BYTES_MAX, to_status
from tests.rpc.wire import Wire

# Four bytes a character in UTF-8, twelve in a status message, which is percent-encoded.
WIDE = "\U0001f600" * 128
ASCII = "x" * 128


@pytest.mark.parametrize("name", [ASCII, WIDE], ids=["ascii", "wide"])
async def test_an_error_that_names_four_long_ids_arrives_whole(wire: Wire, name: str) -> None:
    create = CreateChannelRequest(request_id="c", channel_id=name)
    post = PostMessageRequest(request_id="p", channel_id=name, sender_id=name, message_id=name)
    await wire.run(Command(create_channel=create), Command(post_message=post))
    request = RemoveReactionRequest(
        request_id="r",
        channel_id=name,
        message_id=name,
        user_id=name,
        emoji=name,
        fail_if_unchanged=True,
    )

    refusal = await wire.refusal("ReactionService/RemoveReaction", request)

    assert refusal.reason == "REACTION_NOT_FOUND"
    assert refusal.metadata == {
        "user_id": name,
        "emoji": name,
        "message_id": name,
        "channel_id": name,
    }


@pytest.mark.parametrize("key", [ASCII, WIDE], ids=["ascii", "wide"])
async def test_an_error_with_many_faults_arrives_and_names_the_first(wire: Wire, key: str) -> None:
    attributes = {f"{key}{n}": "v" * 2_000 for n in range(64)}
    request = PostMessageRequest(request_id="p", channel_id="c", attributes=attributes)

    refusal = await wire.refusal("MessageService/PostMessage", request)

    assert refusal.reason == "INVALID_FIELD"
    assert "sender_id" in refusal.fields
    assert len(refusal.fields) >= 4


@pytest.mark.parametrize("text", ["x", "\U0001f600"], ids=["ascii", "wide"])
async def test_an_error_about_ids_that_are_far_too_long_arrives(wire: Wire, text: str) -> None:
    long = text * 100_000
    request = AddReactionRequest(
        request_id=long, channel_id=long, message_id=long, user_id=long, emoji=long
    )

    refusal = await wire.refusal("ReactionService/AddReaction", request)

    assert set(refusal.fields) == {"request_id", "channel_id", "message_id", "user_id", "emoji"}


async def test_a_fault_that_is_too_long_to_be_told_is_cut_and_names_its_field(wire: Wire) -> None:
    request = UpdateChannelRequest(
        request_id="u", channel_id="c", update_mask=FieldMask(paths=["x" * 100_000])
    )

    refusal = await wire.refusal("ChannelService/UpdateChannel", request)

    [(field, description)] = refusal.fields.items()
    assert field == "update_mask"
    assert description.endswith("xxx...")


def test_metadata_with_far_too_much_in_it_is_cut_short_evenly() -> None:
    refusal = Refused(
        errors_pb2.ERROR_REASON_LIST_ITEMS_DIFFER,
        list_id="l",
        list_version=7,
        missing_count=10_000,
        missing=WIDE * 10,
        unknown_count=1,
        unknown="a",
    )

    status = to_status(refusal)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)

    assert status.ByteSize() < DETAILS_BYTES_MAX
    assert info.metadata["missing"].endswith("...")
    assert len(info.metadata["missing"]) > 100
    assert (info.metadata["list_id"], info.metadata["unknown"]) == ("l", "a")
