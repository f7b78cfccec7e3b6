"""What comes beside the message of a call: namespace, caller, and the position to wait for."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from gapless.v1.channels_pb2 import GetChannelRequest, GetChannelResponse
from gapless.v1.messages_pb2 import PostMessageRequest, PostMessageResponse
from gapless.v1.operations_pb2 import (
    GetNamespaceRequest,
    GetNamespaceResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
)
from tests.rpc.watching import watch
from tests.rpc.wire import GENERAL, SECONDS_MAX, Wire, post, sequences

NAMESPACE = "gapless-namespace"
CALLER = "gapless-caller"
MIN_POSITION = "gapless-min-position"

BAD_NAMESPACES = ["", "A", "-a", ".a", "a b", "a ", "a/b", "../a", "a" * 64]
GET = GetChannelRequest(channel_id=GENERAL)


@pytest.mark.parametrize("namespace", BAD_NAMESPACES)
async def test_a_namespace_that_is_no_name_is_refused_naming_its_key(
    wire: Wire, namespace: str
) -> None:
    metadata = [(NAMESPACE, namespace)]

    refusals = [
        await wire.refusal("ChannelService/GetChannel", GET, metadata),
        await watch(wire, metadata, from_start=True).refusal(),
        await wire.pipeline(metadata).refusal(),
    ]

    for refusal in refusals:
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        )
        [(field, description)] = refusal.fields.items()
        assert field == f"metadata {NAMESPACE}"
        assert description.endswith(f", found {namespace!r}")


@pytest.mark.parametrize("namespace", ["a", "0", "a" * 63, "a.b-c_d"])
async def test_a_namespace_of_any_good_name_is_taken(wire: Wire, namespace: str) -> None:
    refusal = await wire.refusal("ChannelService/GetChannel", GET, [(NAMESPACE, namespace)])

    assert refusal.reason == "CHANNEL_NOT_FOUND"


async def test_a_caller_that_is_no_identifier_is_refused_naming_its_key(wire: Wire) -> None:
    refusal = await wire.refusal("ChannelService/GetChannel", GET, [(CALLER, "x" * 129)])

    assert set(refusal.fields) == {f"metadata {CALLER}"}


@pytest.mark.parametrize("position", ["", "x", "-1", "1.5", "+1", str(2**63), "1" * 20])
async def test_a_position_that_is_none_is_refused_naming_its_key(wire: Wire, position: str) -> None:
    refusal = await wire.refusal("ChannelService/GetChannel", GET, [(MIN_POSITION, position)])

    expected = f"must be a number from 0 to 2^63-1, found {position!r}"
    assert refusal.fields == {f"metadata {MIN_POSITION}": expected}


async def test_metadata_of_others_is_let_through(wire: Wire) -> None:
    await wire.create_channel()
    metadata = [*wire.metadata(None), ("x-request-id", "1"), ("trace-bin", b"\xff\x00")]

    answer = await wire.call("ChannelService/GetChannel", GET, GetChannelResponse, metadata)

    assert answer.channel.channel_id == GENERAL


async def test_g3_request_ids_are_those_of_the_caller(wire: Wire) -> None:
    await wire.create_channel()
    request = PostMessageRequest(request_id="same", channel_id=GENERAL, sender_id="ann")

    answers = []
    for caller in ("a", "b", "a"):
        metadata = [*wire.metadata(None), (CALLER, caller)]
        answers.append(
            await wire.call("MessageService/PostMessage", request, PostMessageResponse, metadata)
        )

    assert [answer.sequence for answer in answers] == [1, 2, 1]
    assert [answer.receipt.replayed for answer in answers] == [False, False, True]


async def test_g4_a_read_for_a_position_waits_for_it(wire: Wire) -> None:
    await wire.create_channel()
    metadata = [*wire.metadata(None), (MIN_POSITION, "3")]
    read = asyncio.create_task(
        wire.call("ChannelService/GetChannel", GET, GetChannelResponse, metadata)
    )

    await wire.run(post("p1"))
    await wire.run(post("p2"))

    assert (await read).channel.head_sequence == 2


async def test_g4_a_read_for_a_position_that_is_there_answers_with_the_newest_state(
    wire: Wire,
) -> None:
    await wire.create_channel()
    assert sequences(await wire.run(post("p1"), post("p2"))) == [1, 2]
    metadata = [*wire.metadata(None), (MIN_POSITION, "1")]

    answer = await wire.call("ChannelService/GetChannel", GET, GetChannelResponse, metadata)

    assert answer.channel.head_sequence == 2


async def test_a_read_for_a_position_that_does_not_come_ends_with_its_deadline(
    wire: Wire,
) -> None:
    await wire.create_channel()
    metadata = [*wire.metadata(None), (MIN_POSITION, "99")]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await wire.call(
            "ChannelService/GetChannel", GET, GetChannelResponse, metadata, timeout=0.05
        )

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_reading_does_not_make_a_namespace(wire: Wire) -> None:
    refusal = await wire.refusal("ChannelService/GetChannel", GET)
    unknown = await wire.refusal("OperationsService/GetNamespace", GetNamespaceRequest())
    await wire.create_channel()
    known = await wire.call(
        "OperationsService/GetNamespace", GetNamespaceRequest(), GetNamespaceResponse
    )

    assert refusal.reason == "CHANNEL_NOT_FOUND"
    assert (unknown.reason, unknown.metadata) == (
        "NAMESPACE_NOT_FOUND",
        {"namespace": wire.namespace},
    )
    assert (known.namespace, known.head_position) == (wire.namespace, 1)
    assert len(known.chain_hash) == 32


async def test_a_refused_command_does_not_make_a_namespace(wire: Wire) -> None:
    await wire.run(post("p1"))

    refusal = await wire.refusal("OperationsService/GetNamespace", GetNamespaceRequest())

    assert refusal.reason == "NAMESPACE_NOT_FOUND"


async def test_namespaces_are_listed_by_page_in_order(wire: Wire) -> None:
    for suffix in ("b", "a"):
        other = Wire(wire.channel, f"{wire.namespace}.{suffix}")
        await other.create_channel()

    names: list[str] = []
    token = ""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            page = await wire.call(
                "OperationsService/ListNamespaces",
                ListNamespacesRequest(page_size=1, page_token=token),
                ListNamespacesResponse,
            )
            assert len(page.namespaces) <= 1
            names += page.namespaces
            token = page.next_page_token
            if not token:
                break

    assert names == sorted(names)
    ours = [name for name in names if name.startswith(wire.namespace)]
    assert ours == [f"{wire.namespace}.a", f"{wire.namespace}.b"]
