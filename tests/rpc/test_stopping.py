"""How the service ends: in order when it is told to, and at once when it must (G8)."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from gapless.testing import SubprocessServer
from gapless.v1.events_pb2 import GetRequestRequest, GetRequestResponse
from tests.rpc.watching import watch
from tests.rpc.wire import (
    SECONDS_MAX,
    Wire,
    frame,
    open_wire,
    post,
    seen_in_result,
    sequences,
)

HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
FRAMES = 6
FRAME_COMMANDS = 2_000


async def watch_health(wire: Wire) -> grpc.aio.UnaryStreamCall[bytes, bytes]:
    """Opens a watch of the service's health, which must be good."""
    streaming: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(
        HEALTH_WATCH
    )
    call = streaming(HealthCheckRequest().SerializeToString())
    assert await health(call) == HealthCheckResponse.SERVING
    return call


async def health(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> int:
    data = await call.read()
    assert isinstance(data, bytes)
    return HealthCheckResponse.FromString(data).status


async def test_on_sigterm_what_is_queued_is_answered_and_streams_end_with_the_reason() -> None:
    with SubprocessServer() as server:
        async for wire in open_wire(server.address, "default"):
            await wire.create_channel()
            watching = watch(wire, from_now=True)
            await watching.until("caught_up")
            healthy = await watch_health(wire)
            pipeline = wire.pipeline()
            await pipeline.send(frame(post("first")))
            await pipeline.results()
            for n in range(FRAMES):
                posts = [post(f"{n} {m}") for m in range(FRAME_COMMANDS)]
                await pipeline.send(frame(*posts))

            os.kill(server.pid, signal.SIGTERM)
            health_after = await health(healthy)
            # It ends by itself: whoever watches must not hold up the stop.
            health_ended = await healthy.read()
            answers, ended = await pipeline.answers_until_it_ends()
            watch_ended = await watching.refusal()

        assert server.wait(SECONDS_MAX) == 0
        server.start()
        with server.client() as client:
            head_sequence = client.channels.get("general").head_sequence

    assert health_after == HealthCheckResponse.NOT_SERVING
    assert health_ended is grpc.aio.EOF
    for refusal in (ended, watch_ended):
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert refusal.retry_seconds is not None
    acknowledged = [sequence for answer in answers for sequence in sequences(answer) if sequence]
    assert acknowledged == list(range(2, len(acknowledged) + 2))
    # What was refused was not done, and what was answered is there.
    assert head_sequence == len(acknowledged) + 1
    for answer in answers:
        refused = [result for result in answer if result.WhichOneof("result") == "error"]
        assert {seen_in_result(result).reason for result in refused} <= {"SHUTTING_DOWN"}
        assert len(refused) in (0, len(answer))


async def test_on_sigterm_a_stream_of_reflection_ends() -> None:
    with SubprocessServer() as server:
        async for wire in open_wire(server.address, "default"):
            reflecting = ServerReflectionStub(wire.channel).ServerReflectionInfo()
            await reflecting.write(ServerReflectionRequest(list_services=""))
            answer = await reflecting.read()

            os.kill(server.pid, signal.SIGTERM)
            # By itself: it must not hold up the stop, which would break it off in the end.
            ended = await reflecting.read()

        assert server.wait(SECONDS_MAX) == 0

    assert answer.list_services_response.service
    assert ended is grpc.aio.EOF


def disk_full(server: SubprocessServer) -> None:
    """Lets every write of the service fail that would make a file larger than its log is now."""
    wal = server.directory / "data" / "namespaces" / "default.db-wal"
    size_bytes = wal.stat().st_size
    assert server.log_path.stat().st_size + 100_000 < size_bytes
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


async def test_g8_a_commit_that_fails_ends_the_service_and_the_request_id_tells_afterwards(
    tmp_path: Path,
) -> None:
    with SubprocessServer(directory=tmp_path) as server:
        async for wire in open_wire(server.address, "default"):
            await wire.create_channel()
            await wire.run(*(post(f"p{n}", "x" * 60_000) for n in range(10)))
            watching = watch(wire, from_now=True)
            await watching.until("caught_up")
            healthy = await watch_health(wire)
            disk_full(server)

            refusal = await wire.pipeline_refusal(post("unknown", "x" * 60_000))
            health_after = await health(healthy)
            # It ends by itself: whoever watches must not hold up the stop.
            health_ended = await healthy.read()
            watch_ended = await watching.refusal()
        exit_code = server.wait(SECONDS_MAX)
        server.start()
        async for wire in open_wire(server.address, "default"):
            question = GetRequestRequest(request_id="unknown")
            known = await wire.call("EventService/GetRequest", question, GetRequestResponse)
            [again] = await wire.run(post("unknown", "x" * 60_000))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    assert health_after == HealthCheckResponse.NOT_SERVING
    assert health_ended is grpc.aio.EOF
    assert watch_ended.reason == "SHUTTING_DOWN"
    assert exit_code == 1
    assert "disk I/O error" in server_log(tmp_path)
    assert again.post_message.receipt.replayed == known.found
    assert again.post_message.sequence == 11


def server_log(directory: Path) -> str:
    return (directory / "server.log").read_text()
