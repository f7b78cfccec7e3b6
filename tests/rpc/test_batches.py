"""Batches, guards and waiting as any client meets them: as unary calls and in frames."""

from __future__ import annotations

import asyncio

import grpc

from gapless.v1.channels_pb2 import ChannelHeadGuard, GetChannelRequest, GetChannelResponse
from gapless.v1.commands_pb2 import (
    Command,
    ExecuteBatchRequest,
    ExecuteBatchResponse,
    ExecuteRequest,
    ExecuteResponse,
)
from gapless.v1.events_pb2 import (
    GetRequestRequest,
    GetRequestResponse,
    ReadEventsRequest,
    ReadEventsResponse,
)
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import (
    AcquireLockRequest,
    AcquireLockResponse,
    ReleaseLockRequest,
    ReleaseLockResponse,
)
from tests.rpc.wire import GENERAL, Wire, frame, post, seen_in_result, sequences

EXECUTE_BATCH = "CommandService/ExecuteBatch"


def batch(request_id: str, *commands: Command) -> ExecuteBatchRequest:
    """Returns a batch of these commands, whose own request ids are taken away."""
    request = ExecuteBatchRequest(request_id=request_id, commands=commands)
    for command in request.commands:
        name = command.WhichOneof("command")
        if name is not None:
            getattr(command, name).request_id = ""
    return request


def guarded(command: Command, head_sequence: int) -> Command:
    guard = Guard(channel_head=ChannelHeadGuard(channel_id=GENERAL, head_sequence=head_sequence))
    command.guards.append(guard)
    return command


async def head(wire: Wire) -> int:
    request = GetChannelRequest(channel_id=GENERAL)
    answer = await wire.call("ChannelService/GetChannel", request, GetChannelResponse)
    return answer.channel.head_sequence


async def test_c2_a_batch_is_one_entry_with_one_answer(wire: Wire) -> None:
    await wire.create_channel()

    answer = await wire.call(
        EXECUTE_BATCH, batch("b", post(""), post(""), post("")), ExecuteBatchResponse
    )

    assert sequences(answer.results) == [1, 2, 3]
    assert (list(answer.changed), answer.receipt.position) == ([True] * 3, 2)
    log = await wire.call("EventService/ReadEvents", ReadEventsRequest(), ReadEventsResponse)
    assert [(entry.request_id, len(entry.events)) for entry in log.entries[1:]] == [("b", 3)]


async def test_a_batch_is_remembered_and_told_about_like_any_command(wire: Wire) -> None:
    await wire.create_channel()
    request = batch("b", post(""), post(""))
    first = await wire.call(EXECUTE_BATCH, request, ExecuteBatchResponse)

    again = await wire.call(EXECUTE_BATCH, request, ExecuteBatchResponse)
    told = await wire.call(
        "EventService/GetRequest", GetRequestRequest(request_id="b"), GetRequestResponse
    )

    assert (first.receipt.replayed, again.receipt.replayed) == (False, True)
    assert again.results == first.results
    assert told.found
    assert told.result.execute_batch == first
    assert len(told.events) == 2


async def test_c2_a_refused_batch_has_the_status_of_its_member_and_says_which(wire: Wire) -> None:
    await wire.create_channel()

    found = await wire.refusal(
        EXECUTE_BATCH, batch("b", post(""), post("", channel_id="nowhere"), post(""))
    )

    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "CHANNEL_NOT_FOUND")
    assert found.metadata == {"channel_id": "nowhere", "batch_index": "1", "batch_not_tried": "1"}
    assert found.message.startswith("commands[1].post_message is refused")
    assert await head(wire) == 0


async def test_a_bad_batch_names_the_field_of_its_member(wire: Wire) -> None:
    request = batch("b", post(""), post(""))
    request.commands[1].post_message.request_id = "own"

    found = await wire.refusal(EXECUTE_BATCH, request)

    assert found.code is grpc.StatusCode.INVALID_ARGUMENT
    assert found.fields.keys() == {"commands[1].post_message.request_id"}
    assert (found.metadata["batch_index"], found.metadata["batch_not_tried"]) == ("1", "0")


async def test_a_batch_travels_in_a_frame_beside_other_commands(wire: Wire) -> None:
    await wire.create_channel()

    results = await wire.run(
        post("p1"),
        Command(execute_batch=batch("good", post(""), post(""))),
        Command(execute_batch=batch("bad", post(""), post("", channel_id="nowhere"))),
        Command(execute_batch=ExecuteBatchRequest(request_id="empty")),
        Command(execute_batch=batch("broken", post(""), Command(), post(""))),
        post("p2"),
    )

    assert sequences([results[0], *results[1].execute_batch.results, results[5]]) == [1, 2, 3, 4]
    assert seen_in_result(results[2]).metadata["batch_index"] == "1"
    assert seen_in_result(results[3]).fields.keys() == {"commands"}
    broken = seen_in_result(results[4])
    assert broken.fields.keys() == {"commands[1]"}
    assert (broken.metadata["batch_index"], broken.metadata["batch_not_tried"]) == ("1", "1")


async def test_a_batch_is_the_same_command_whichever_way_it_comes(wire: Wire) -> None:
    await wire.create_channel()
    request = batch("b", post(""))
    await wire.call(EXECUTE_BATCH, request, ExecuteBatchResponse)

    [in_frame] = await wire.run(Command(execute_batch=request))
    alone = await wire.call(
        "CommandService/Execute",
        ExecuteRequest(command=Command(execute_batch=request)),
        ExecuteResponse,
    )

    assert in_frame.execute_batch.receipt.replayed
    assert alone.result.execute_batch == in_frame.execute_batch


async def test_guards_come_with_a_command_alone_or_in_a_frame(wire: Wire) -> None:
    await wire.create_channel()

    first = await wire.call(
        "CommandService/Execute",
        ExecuteRequest(command=guarded(post("p1"), 0)),
        ExecuteResponse,
    )
    refused = await wire.refusal(
        "CommandService/Execute", ExecuteRequest(command=guarded(post("p2"), 0))
    )
    results = await wire.run(guarded(post("p3"), 0), guarded(post("p4"), 1), post("p5"))

    assert first.result.post_message.sequence == 1
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "GUARD_FAILED",
    )
    assert refused.metadata["found"] == "head sequence 1"
    assert sequences(results) == [0, 2, 3]


async def test_g3_a_guard_is_part_of_what_a_request_id_stands_for(wire: Wire) -> None:
    await wire.create_channel()

    results = await wire.run(post("p"), guarded(post("p"), 0), post("p"))

    assert results[0].post_message.sequence == results[2].post_message.sequence == 1
    assert seen_in_result(results[1]).metadata["fields"] == "guards"


def acquire(holder_id: str, wait_seconds: int = 0) -> AcquireLockRequest:
    return AcquireLockRequest(
        request_id=f"acquire {holder_id} {wait_seconds}",
        lock_id="door",
        holder_id=holder_id,
        ttl_seconds=60,
        wait_seconds=wait_seconds,
    )


async def test_a_call_may_wait_for_a_lock_while_others_go_on(wire: Wire) -> None:
    method = "LockService/AcquireLock"
    held = (await wire.call(method, acquire("ann"), AcquireLockResponse)).lock
    waiting = asyncio.ensure_future(wire.call(method, acquire("bob", 60), AcquireLockResponse))

    await wire.create_channel()
    assert sequences(await wire.run(post("p1"))) == [1]
    release = ReleaseLockRequest(
        request_id="release", lock_id="door", fencing_token=held.fencing_token
    )
    await wire.call("LockService/ReleaseLock", release, ReleaseLockResponse)

    assert (await waiting).lock.fencing_token > held.fencing_token


async def test_in_a_frame_nothing_waits(wire: Wire) -> None:
    await wire.create_channel()

    results = await wire.run(Command(acquire_lock=acquire("ann", 1)), post("p1"))

    assert seen_in_result(results[0]).fields.keys() == {"wait_seconds"}
    assert results[1].post_message.sequence == 1


async def test_a_held_lock_says_when_to_come_back(wire: Wire) -> None:
    await wire.call("LockService/AcquireLock", acquire("ann"), AcquireLockResponse)

    found = await wire.refusal("LockService/AcquireLock", acquire("bob"))

    assert (found.code, found.reason) == (grpc.StatusCode.ABORTED, "LOCK_HELD")
    assert found.metadata["holder_id"] == "ann"
    assert found.retry_seconds == 60


async def test_the_bytes_of_a_frame_with_a_batch_that_is_none_are_refused_alone(
    wire: Wire,
) -> None:
    """A member of a batch that cannot be parsed takes the batch with it, and no more."""
    await wire.create_channel()
    bad_batch = b"\x4a\x04\x12\x02\xff\xff"
    pipeline = wire.pipeline()

    await pipeline.send(
        frame(post("p1")) + bytes([1 << 3 | 2, len(bad_batch)]) + bad_batch + frame(post("p2"))
    )
    results = await pipeline.results()
    await pipeline.end()

    assert sequences(results) == [1, 0, 2]
    assert seen_in_result(results[1]).reason == "MALFORMED_MESSAGE"
