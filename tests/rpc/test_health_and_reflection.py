"""What generic tools ask a gRPC service: whether it is well, and what it has."""

from __future__ import annotations

import asyncio
import sqlite3

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

import gapless
from gapless.v1.operations_pb2 import GetServerInfoRequest, GetServerInfoResponse
from gapless_server.rpc.health import WATCHES_MAX
from gapless_server.rpc.reflection import STREAMS_MAX
from tests.rpc.bad_requests import SERVICES
from tests.rpc.wire import Wire, seen_in

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
REFLECTION_V1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


async def check(wire: Wire, service: str) -> int:
    unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = wire.channel.unary_unary(CHECK)
    answer = await unary(HealthCheckRequest(service=service).SerializeToString())
    return HealthCheckResponse.FromString(answer).status


async def reflect(
    wire: Wire, request: ServerReflectionRequest, path: str = REFLECTION
) -> ServerReflectionResponse:
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = wire.channel.stream_stream(path)
    call = method()
    await call.write(request.SerializeToString())
    answer = await call.read()
    call.cancel()
    assert isinstance(answer, bytes)
    return ServerReflectionResponse.FromString(answer)


async def test_a_service_that_serves_says_so(wire: Wire) -> None:
    assert await check(wire, "") == HealthCheckResponse.SERVING


async def test_each_service_in_it_is_asked_for_by_its_name(wire: Wire) -> None:
    for service in SERVICES:
        assert await check(wire, service.full_name) == HealthCheckResponse.SERVING


async def test_the_health_of_a_service_that_is_not_there_is_not_known(wire: Wire) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(wire, "no.such.Service")

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == (
        "there is no service 'no.such.Service' here; the empty name asks for all of them"
    )


async def test_a_watch_of_a_service_that_is_not_there_goes_on_as_it_may_come(wire: Wire) -> None:
    watch = HealthStub(wire.channel).Watch(HealthCheckRequest(service="no.such.Service"))

    first = await watch.read()
    watch.cancel()

    assert first.status == HealthCheckResponse.SERVICE_UNKNOWN


async def test_g7_more_watches_of_health_than_may_be_open_are_refused(wire: Wire) -> None:
    stub = HealthStub(wire.channel)
    watches = [stub.Watch(HealthCheckRequest()) for _ in range(WATCHES_MAX)]
    await asyncio.gather(*(watch.read() for watch in watches))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Watch(HealthCheckRequest()).read()
    health = await check(wire, "")
    for watch in watches:
        watch.cancel()

    assert seen_in(caught.value).metadata == {"streams_max": "1000", "kind": "health"}
    assert health == HealthCheckResponse.SERVING


async def test_reflection_lists_every_service(wire: Wire) -> None:
    answer = await reflect(wire, ServerReflectionRequest(list_services=""))

    names = {service.name for service in answer.list_services_response.service}
    assert names == {
        *(service.full_name for service in SERVICES),
        "gapless.v1.CommandService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_gives_the_contract_of_every_service(wire: Wire) -> None:
    for service in SERVICES:
        request = ServerReflectionRequest(file_containing_symbol=service.full_name)
        answer = await reflect(wire, request)

        files = [
            FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert service.file.name in {file.name for file in files}


async def test_g7_more_streams_of_reflection_than_may_be_open_are_refused(wire: Wire) -> None:
    stub = ServerReflectionStub(wire.channel)
    request = ServerReflectionRequest(list_services="")
    streams = [stub.ServerReflectionInfo() for _ in range(STREAMS_MAX)]
    await asyncio.gather(*(stream.write(request) for stream in streams))
    await asyncio.gather(*(stream.read() for stream in streams))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        # Nothing is written: the stream may be over before that.
        await stub.ServerReflectionInfo().read()
    for stream in streams:
        await stream.done_writing()
    await asyncio.gather(*(stream.read() for stream in streams))
    answer = await reflect(wire, request)

    assert seen_in(caught.value).metadata == {"streams_max": "1000", "kind": "reflection"}
    assert answer.list_services_response.service


async def test_a_service_says_what_it_is(wire: Wire) -> None:
    info = await wire.call(
        "OperationsService/GetServerInfo", GetServerInfoRequest(), GetServerInfoResponse
    )

    assert (info.version, info.journal) == (gapless.__version__, "sqlite")
    assert info.journal_version == sqlite3.sqlite_version
    assert info.start_time.seconds > 0


@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECTION, REFLECTION_V1])
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x02\xff\xfe"], ids=["cut off", "not UTF-8"])
async def test_what_is_no_message_is_refused_and_the_service_is_not_said_to_be_at_fault(
    wire: Wire, path: str, data: bytes
) -> None:
    """What asks for health takes UNKNOWN for a service that is not well."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = wire.channel.stream_stream(path)
    call = method()
    await call.write(data)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()

    refusal = seen_in(caught.value)
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
    assert refusal.metadata["type"].endswith("Request")


async def test_reflection_is_there_for_tools_that_ask_for_v1_only(wire: Wire) -> None:
    request = ServerReflectionRequest(list_services="")

    answers = [await reflect(wire, request, path) for path in (REFLECTION, REFLECTION_V1)]

    assert answers[0] == answers[1]
