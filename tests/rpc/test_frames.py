"""Frames of commands: answers in order, bad members alone refused, and limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import grpc.aio
import pytest

from gapless.testing import InProcessServer
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.commands_pb2 import Command
from gapless_server.core.wire import bytes_tag, field
from gapless_server.rpc.sizes import COMMAND_BYTES_MAX
from tests.rpc.bad_requests import bad_requests
from tests.rpc.wire import (
    GENERAL,
    Wire,
    frame,
    open_wire,
    post,
    seen_in_result,
    sequences,
)

LONE_SURROGATE = b"\xed\xa0\x80"


def member(data: bytes) -> bytes:
    """Returns bytes as a command of a frame."""
    length = len(data)
    assert length < 128
    return bytes([1 << 3 | 2, length]) + data


async def test_answers_come_in_the_order_of_the_frames_and_of_their_commands(wire: Wire) -> None:
    await wire.create_channel()
    pipeline = wire.pipeline()

    for n in range(20):
        await pipeline.send(frame(*(post(f"{n} {m}") for m in range(n + 1))))
    answers = [sequences(await pipeline.results()) for _ in range(20)]
    await pipeline.end()

    assert [len(answer) for answer in answers] == list(range(1, 21))
    assert [sequence for answer in answers for sequence in answer] == list(range(1, 211))


async def test_g5_one_bad_command_of_a_frame_leaves_the_good_ones_alone(wire: Wire) -> None:
    await wire.create_channel()

    results = await wire.run(
        post("p1"), post("lost", channel_id="nowhere"), post("p2"), Command(), post("p3")
    )

    assert sequences(results) == [1, 0, 2, 0, 3]
    assert seen_in_result(results[1]).reason == "CHANNEL_NOT_FOUND"
    assert seen_in_result(results[3]).fields.keys() == {"command"}


async def test_g5_a_malformed_command_of_a_frame_leaves_the_good_ones_alone(wire: Wire) -> None:
    await wire.create_channel()
    bad_text = bytes([13 << 3 | 2, 5, 1 << 3 | 2, 3]) + LONE_SURROGATE
    pipeline = wire.pipeline()

    await pipeline.send(
        frame(post("p1"))
        + member(bad_text)
        + frame(post("p2"))
        + member(b"\xff")
        + frame(post("p3"))
    )
    results = await pipeline.results()
    await pipeline.end()

    assert sequences(results) == [1, 0, 2, 0, 3]
    first, second = seen_in_result(results[1]), seen_in_result(results[3])
    assert (first.reason, second.reason) == ("MALFORMED_MESSAGE", "MALFORMED_MESSAGE")
    assert first.fields == {"post_message.request_id": "is not valid UTF-8 at byte 0"}
    assert second.metadata["type"] == "Command"


async def test_g5_every_fault_of_every_command_leaves_the_good_ones_of_its_frame_alone(
    wire: Wire,
) -> None:
    fields = {
        field.message_type.name: field.name
        for field in Command.DESCRIPTOR.oneofs_by_name["command"].fields
        if field.message_type is not None
    }
    bad = [found for found in bad_requests() if found.request.DESCRIPTOR.name in fields]
    pipeline = wire.pipeline()
    await pipeline.send(frame(Command(create_channel=create_request())))
    await pipeline.results()

    expected = 0
    for found in bad:
        name = fields[found.request.DESCRIPTOR.name]
        broken = Command(**{name: found.request})  # type: ignore[arg-type]  # its field
        await pipeline.send(frame(post(f"a{expected}"), broken, post(f"b{expected}")))
        results = await pipeline.results()

        assert sequences(results) == [expected + 1, 0, expected + 2], found
        assert found.field in seen_in_result(results[1]).fields, found
        expected += 2
    await pipeline.end()


def create_request() -> CreateChannelRequest:
    return CreateChannelRequest(request_id="create", channel_id=GENERAL)


async def test_a_frame_that_cannot_be_taken_apart_ends_the_stream_and_says_why(
    wire: Wire,
) -> None:
    await wire.create_channel()
    pipeline = wire.pipeline()
    await pipeline.send(frame(post("p1")))
    await pipeline.send(frame(post("p2"))[:-1])

    first = await pipeline.results()
    refusal = await pipeline.refusal()

    assert sequences(first) == [1]
    assert (refusal.reason, refusal.metadata["type"]) == ("MALFORMED_MESSAGE", "PipelineRequest")
    assert set(refusal.fields) == {"commands"}
    assert sequences(await wire.run(post("p3"))) == [2]


async def test_an_empty_frame_ends_the_stream_and_says_why(wire: Wire) -> None:
    pipeline = wire.pipeline()
    await pipeline.send(b"")

    refusal = await pipeline.refusal()

    assert refusal.fields == {"commands": "must have at least one command"}


async def test_a_stream_without_frames_ends_well(wire: Wire) -> None:
    await wire.pipeline().end()


async def test_g7_a_frame_of_too_many_commands_is_refused_whole_and_ends_the_stream(
    wire: Wire,
) -> None:
    await wire.create_channel()
    pipeline = wire.pipeline()
    await pipeline.send(frame(*(post(f"p{n}") for n in range(10_001))))

    refusal = await pipeline.refusal()

    assert refusal.reason == "FRAME_TOO_LARGE"
    assert refusal.metadata == {"commands": "10001", "commands_max": "10000"}
    assert sequences(await wire.run(post("p0"))) == [1]


async def test_g7_a_frame_of_as_many_commands_as_may_be_is_taken(wire: Wire) -> None:
    await wire.create_channel()

    results = await wire.run(*(post(f"p{n}") for n in range(10_000)))

    assert sequences(results) == list(range(1, 10_001))


async def test_a_command_of_10_mb_in_a_frame_is_refused_naming_its_field(wire: Wire) -> None:
    await wire.create_channel()

    results = await wire.run(post("p1"), post("large", "x" * 10_000_000), post("p2"))

    assert sequences(results) == [1, 0, 2]
    assert set(seen_in_result(results[1]).fields) == {"body.data"}


def other(request_id: str) -> Command:
    """Returns a command that is no post."""
    return Command(create_channel=CreateChannelRequest(request_id=request_id))


def large_command() -> Command:
    """Returns a command that keeps every rule of its fields and is too large as a whole."""
    command = Command()
    batch = command.execute_batch
    batch.request_id = "large"
    for n in range(40):
        member = batch.commands.add()
        member.CopyFrom(post("", "x" * 60_000, channel_id=f"c{n}"))
    return command


async def test_g7_a_command_that_is_too_large_as_a_whole_is_refused_with_its_limit(
    wire: Wire,
) -> None:
    await wire.create_channel()
    command = large_command()

    results = await wire.run(post("p1"), command, post("p2"))
    alone = await wire.refusal("CommandService/ExecuteBatch", command.execute_batch)

    assert sequences(results) == [1, 0, 2]
    for refusal in (seen_in_result(results[1]), alone):
        assert refusal.reason == "COMMAND_TOO_LARGE"
        assert refusal.metadata == {
            "bytes": str(command.ByteSize()),
            "bytes_max": str(COMMAND_BYTES_MAX),
        }


@pytest.mark.parametrize("others", [post, other], ids=["posts", "others"])
async def test_g7_a_command_of_millions_of_empty_messages_is_refused_without_making_them(
    wire: Wire, others: Callable[[str], Command]
) -> None:
    await wire.create_channel()
    batch = field(bytes_tag(Command.EXECUTE_BATCH_FIELD_NUMBER), b"\x12\x00" * 2_000_000)
    pipeline = wire.pipeline()
    await pipeline.send(frame(others("r1")) + field(bytes_tag(1), batch) + frame(others("r2")))

    first, large, last = await pipeline.results()

    assert seen_in_result(large).reason == "COMMAND_TOO_LARGE"
    assert {first.WhichOneof("result"), last.WhichOneof("result")} & {"error"} == set()


async def test_commands_of_a_frame_see_what_those_before_them_did(wire: Wire) -> None:
    results = await wire.run(
        post("early"), Command(create_channel=create_request()), post("p1"), post("p1")
    )

    assert sequences(results) == [0, 0, 1, 1]
    assert seen_in_result(results[0]).reason == "CHANNEL_NOT_FOUND"
    assert results[3].post_message.receipt.replayed


async def test_a_client_that_goes_away_leaves_its_frames_done(wire: Wire) -> None:
    await wire.create_channel()
    pipeline = wire.pipeline()
    await pipeline.send(frame(post("p1")))
    await pipeline.results()
    await pipeline.send(frame(post("p2")))
    pipeline.call.cancel()

    [again] = await wire.run(post("p2"))

    # Whether the frame had arrived or not: done once, and here is its answer.
    assert again.post_message.sequence == 2


@pytest.fixture(scope="module")
def small_server() -> Iterator[InProcessServer]:
    """A service with small limits for what it holds."""
    with InProcessServer(journal="memory", queue_commands_max=10, pipeline_streams_max=2) as server:
        yield server


@pytest.fixture
async def small_wire(small_server: InProcessServer) -> AsyncIterator[Wire]:
    async for wire in open_wire(small_server.address, "small"):
        yield wire


async def test_g7_a_frame_for_which_there_is_no_room_is_refused_and_the_stream_goes_on(
    small_wire: Wire,
) -> None:
    pipeline = small_wire.pipeline()
    await pipeline.send(frame(*(post(f"p{n}") for n in range(11))))
    await pipeline.send(frame(Command(create_channel=create_request()), post("p0")))

    refused, taken = await pipeline.results(), await pipeline.results()
    await pipeline.end()

    assert len(refused) == 11
    for result in refused:
        refusal = seen_in_result(result)
        assert (refusal.reason, refusal.code) == (
            "QUEUE_FULL",
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )
        assert refusal.metadata == {"namespace": "small", "limit": "10", "unit": "commands"}
        assert refusal.retry_seconds is not None
    assert sequences(taken) == [0, 1]


async def test_g7_more_pipelines_than_may_be_open_are_refused(small_wire: Wire) -> None:
    held = []
    for n in range(2):
        pipeline = small_wire.pipeline()
        await pipeline.send(frame(post(f"held {n}")))
        await pipeline.results()
        held.append(pipeline)

    third = small_wire.pipeline()
    refusal = await third.refusal()
    for pipeline in held:
        await pipeline.end()

    assert refusal.reason == "TOO_MANY_STREAMS"
    assert refusal.metadata == {"streams_max": "2", "kind": "pipeline"}
    assert refusal.retry_seconds is not None
    assert len(await small_wire.run(post("again"))) == 1


async def test_g3_frames_sent_again_and_again_without_waiting_have_one_effect_and_equal_answers(
    wire: Wire,
) -> None:
    await wire.create_channel()
    pipeline = wire.pipeline()
    data = frame(*(post(f"p{n}", "x" * 60_000) for n in range(20)))

    async def send_on() -> None:
        while True:
            await pipeline.send(data)

    sending = asyncio.create_task(send_on())
    answers = [sequences(await pipeline.results()) for _ in range(50)]
    sending.cancel()
    await asyncio.wait([sending])
    pipeline.call.cancel()

    assert answers == [list(range(1, 21))] * 50
