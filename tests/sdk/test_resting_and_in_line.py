"""Commands that rest between two attempts, and those that stand in line for room."""

from __future__ import annotations

import asyncio
import gc
import random

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc import error_details_pb2, status_pb2

from gapless import AsyncClient, ClientClosedError, errors
from gapless.v1.commands_pb2 import CommandError
from gapless.v1.messages_pb2 import PostMessageResponse
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import Break, FakeService, Hold, Refuse


def full(delay_ms: int) -> Refuse:
    """Refuses with a delay that the service asks for."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(delay_ms)
    detail = PackedAny()
    detail.Pack(retry)
    status = status_pb2.Status(code=8, message="the queue is full", details=[detail])
    return Refuse(CommandError(code=8, reason="QUEUE_FULL", status=status.SerializeToString()))


def post(
    client: AsyncClient, request_id: str, timeout: float | None = None
) -> asyncio.Task[PostMessageResponse]:
    return asyncio.create_task(
        client.messages.post("general", "alice", "x", request_id=request_id, timeout=timeout)
    )


async def frame_refused(impatient: asyncio.Task[PostMessageResponse]) -> None:
    """Returns once a frame was refused, by a command of it that has less time than the delay."""
    with pytest.raises((errors.QueueFull, errors.DeadlineExceededError)):
        await impatient


async def test_a_caller_who_goes_away_between_attempts_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given no spread of delays, so that what rests goes again in the order of the refusals
    monkeypatch.setattr(random, "random", lambda: 0.0)
    with FakeService([full(delay_ms=300)]) as service:
        async with AsyncClient(service.address) as client:
            gone, stays = post(client, "gone"), post(client, "stays")
            await frame_refused(post(client, "impatient", timeout=0.25))

            gone.cancel()

            assert (await stays).receipt.position == 1
    assert [frame.request_ids for frame in service.frames] == [
        ["gone", "stays", "impatient"],
        ["stays"],
    ]
    assert gone.cancelled()


@pytest.mark.parametrize(("earlier", "is_open"), [([], False), ([Break(applied=True)], True)])
async def test_g8_closing_fails_what_rests_between_attempts_at_once(
    connect: Connect, earlier: list[Break], is_open: bool
) -> None:
    # Given a command that was refused for a while, perhaps after a stream had broken under it
    with FakeService([*earlier, full(delay_ms=60_000), full(delay_ms=60_000)]) as service:
        client = connect(service.address, timeout=100.0)
        resting = post(client, "resting")
        await asyncio.to_thread(service.wait_for_frames, len(earlier) + 1)
        await frame_refused(post(client, "impatient", timeout=20.0))

        await client.close()

        with pytest.raises(ClientClosedError) as raised:
            await asyncio.wait_for(resting, 10.0)
    assert (raised.value.request_id, raised.value.outcome_unknown) == ("resting", is_open)


async def test_closing_ends_the_rest_of_a_read_between_attempts(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gapless._retry.BACKOFF_SECONDS_FIRST", 60.0)
    monkeypatch.setattr("gapless._retry.RECONNECT_SECONDS_MAX", 60.0)
    with FakeService(reads=[grpc.StatusCode.UNAVAILABLE]) as service:
        client = connect(service.address, timeout=100.0)
        resting = asyncio.create_task(client.operations.server_info())
        await asyncio.to_thread(service.wait_for_reads, 1)
        # A read that comes after the answer of the first, on the same connection.
        with pytest.raises(errors.UnimplementedError):
            await client.operations.server_info()

        await client.close()

        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(resting, 10.0)


async def test_g7_what_is_sent_again_waits_for_room_like_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given room for three, which others take while three that were refused rest
    monkeypatch.setattr("gapless._async._pipeline.QUEUE_COMMANDS_MAX", 3)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    with FakeService([full(delay_ms=50), Hold()]) as service:
        async with AsyncClient(service.address) as client:
            refused = [post(client, f"refused-{index}") for index in range(3)]
            await asyncio.to_thread(service.wait_for_frames, 1)
            others = [post(client, f"other-{index}") for index in range(9)]
            # When their rest is over, as it is when somebody with more time gives up
            with pytest.raises(errors.DeadlineExceededError):
                await post(client, "impatient", timeout=0.3)
            service.release()
            await asyncio.gather(*refused, *others)

    # Then they stood in line behind those who came meanwhile
    assert list(service.sequences)[-3:] == [f"refused-{index}" for index in range(3)]
    assert max(len(frame.request_ids) for frame in service.frames) <= 3


async def test_g7_who_is_let_in_and_goes_away_leaves_the_room_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given room for one, which is taken, and two in line
    monkeypatch.setattr("gapless._async._pipeline.QUEUE_COMMANDS_MAX", 1)
    with FakeService([Hold()]) as service:
        async with AsyncClient(service.address) as client:
            line: list[asyncio.Task[PostMessageResponse]] = []

            async def first() -> None:
                await client.messages.post("general", "alice", "x", request_id="first")
                line[0].cancel()

            holder = asyncio.create_task(first())
            await asyncio.to_thread(service.wait_for_frames, 1)
            line += [post(client, "second"), post(client, "third")]

            # When the answer of the first lets in the second, which goes away in that turn
            service.release()
            await holder

            assert (await asyncio.wait_for(line[1], 10.0)).receipt.position == 2
    assert line[0].cancelled()
    assert list(service.sequences) == ["first", "third"]


async def test_g7_a_timeout_of_centuries_is_no_limit_in_line_either(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given room for one, which is taken
    for pipeline in ("gapless._async._pipeline", "gapless._sync._pipeline"):
        monkeypatch.setattr(f"{pipeline}.QUEUE_COMMANDS_MAX", 1)
    with FakeService([Hold()]) as service:
        client = connect(service.address)
        first = post(client, "first")
        await asyncio.to_thread(service.wait_for_frames, 1)

        # When another stands in line, longer than somebody who came after it
        patient = post(client, "patient", timeout=1e10)
        with pytest.raises(errors.DeadlineExceededError):
            await post(client, "impatient", timeout=0.1)
        service.release()

        await first
        assert (await patient).receipt.position == 2


async def test_g7_who_goes_away_in_line_leaves_nothing_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def left_in_line() -> int:
        gc.collect()
        return sum(type(each) is asyncio.Future and each.cancelled() for each in gc.get_objects())

    monkeypatch.setattr("gapless._async._pipeline.QUEUE_COMMANDS_MAX", 1)
    with FakeService([Hold()]) as service:
        async with AsyncClient(service.address) as client:
            # Given room for one, which is taken while all objects are looked through
            first = post(client, "first", timeout=100.0)
            await asyncio.to_thread(service.wait_for_frames, 1)
            before = left_in_line()

            # When a hundred come to stand in line, and all go away
            gone = [post(client, f"gone-{index}") for index in range(100)]
            await asyncio.sleep(0)
            for each in gone:
                each.cancel()
            await asyncio.wait(gone)
            del gone, each

            assert left_in_line() - before < 100
            service.release()
            await first
    assert list(service.sequences) == ["first"]
