"""Unary calls under way are bounded, whatever they wait for (G7)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gapless.testing import InProcessServer
from gapless.v1.channels_pb2 import GetChannelRequest, GetChannelResponse
from gapless_server.rpc.call_gate import LARGE_BYTES, CallGate
from gapless_server.rpc.calls import MIN_POSITION_KEY, NAMESPACE_KEY
from gapless_server.rpc.unsent import Unsent
from tests.rpc.in_process import CallContext, CallEnded
from tests.rpc.wire import GENERAL, Seen, Wire, open_wire, post, seen_in

CALLS_MAX = 2
# Answered with itself.
LARGE = bytes(LARGE_BYTES)
GET = GetChannelRequest(channel_id=GENERAL)
# A hang must end the test.
SECONDS_MAX = 20.0


@pytest.fixture
def gated() -> Any:
    """A method behind a gate, which answers what it is asked."""

    async def answer(data: bytes, _context: object) -> bytes:
        return data

    gate = CallGate(CALLS_MAX, Unsent(0, 0, 0))
    return gate.around(grpc.unary_unary_rpc_method_handler(answer), has_pages=False).unary_unary


async def test_g7_as_many_calls_as_may_be_under_way_are_let_in_and_no_more(gated: Any) -> None:
    calls = [CallContext() for _ in range(CALLS_MAX)]
    assert [await gated(LARGE, call) for call in calls] == [LARGE] * CALLS_MAX

    # They are answered, and their answers are not sent yet.
    with pytest.raises(CallEnded, match="has 2 unary calls under way"):
        await gated(b"one more", CallContext())
    calls[0].end()

    assert await gated(LARGE, CallContext()) == LARGE
    with pytest.raises(CallEnded, match="has 2 unary calls under way"):
        await gated(b"one more", CallContext())


async def test_a_call_with_a_small_answer_is_over_when_it_is_answered(gated: Any) -> None:
    for _ in range(2 * CALLS_MAX):
        assert await gated(b"small", CallContext()) == b"small"


async def test_a_call_that_was_refused_is_not_counted(gated: Any) -> None:
    calls = [CallContext() for _ in range(CALLS_MAX)]
    for call in calls:
        await gated(LARGE, call)
    refused = CallContext()
    with pytest.raises(CallEnded):
        await gated(b"one more", refused)

    for call in [*calls, refused]:
        call.end()

    for _ in range(CALLS_MAX):
        await gated(LARGE, CallContext())
    with pytest.raises(CallEnded, match="has 2 unary calls under way"):
        await gated(b"one more", CallContext())


async def test_g7_reads_that_wait_are_refused_past_the_limit_and_nothing_else_is() -> None:
    with InProcessServer(journal="memory", calls_in_flight_max=CALLS_MAX) as server:
        async for wire in open_wire(server.address, "gated"):
            await wire.create_channel()
            waiting = [asyncio.create_task(waiting_read(wire)) for _ in range(CALLS_MAX)]

            refusal = await first_refusal(wire)
            health = await HealthStub(wire.channel).Check(HealthCheckRequest())
            posted = await wire.run(post("p1"))
            answers = await asyncio.gather(*waiting)
            afterwards = await read(wire, min_position=2)

    assert (refusal.code, refusal.reason, refusal.metadata, refusal.retry_seconds) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_CALLS",
        {"calls_max": "2"},
        1.0,
    )
    assert health.status == HealthCheckResponse.SERVING
    assert len(posted) == 1
    assert [one.channel.head_sequence for one in [*answers, afterwards]] == [1] * (CALLS_MAX + 1)


async def read(wire: Wire, min_position: int) -> GetChannelResponse:
    metadata = ((NAMESPACE_KEY, wire.namespace), (MIN_POSITION_KEY, str(min_position)))
    return await wire.call("ChannelService/GetChannel", GET, GetChannelResponse, metadata)


async def waiting_read(wire: Wire) -> GetChannelResponse:
    """Reads once the log has come to position 2; is let in sooner or later."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                return await read(wire, min_position=2)
            except grpc.aio.AioRpcError as error:
                # One that looks whether there is a place left may have it just now.
                if seen_in(error).reason != "TOO_MANY_CALLS":
                    raise


async def first_refusal(wire: Wire) -> Seen:
    """Reads until the calls of before are all there, so that there is no place left."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                await read(wire, min_position=1)
            except grpc.aio.AioRpcError as error:
                return seen_in(error)
