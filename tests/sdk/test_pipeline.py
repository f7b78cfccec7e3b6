"""Commands on the pipelined stream: shared, in order, sent again, and honest about what is unknown.

Against a fake service that breaks streams on purpose; both colours.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc import error_details_pb2, status_pb2

from gapless import AsyncClient, ClientClosedError, GaplessError, errors
from gapless.v1.commands_pb2 import CommandError
from gapless.v1.messages_pb2 import PostMessageResponse
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import Answer, Break, End, FakeService, Garble, Hold, Refuse

PIPELINES = ("gapless._async._pipeline", "gapless._sync._pipeline")

QUEUE_FULL = CommandError(code=8, reason="QUEUE_FULL", message="the queue is full")
NO_CHANNEL = CommandError(code=5, reason="CHANNEL_NOT_FOUND", message="channel x does not exist")


async def post(
    client: AsyncClient, request_id: str | None = None, *, timeout: float | None = None
) -> PostMessageResponse:
    return await client.messages.post(
        "general", "alice", "hello", request_id=request_id, timeout=timeout
    )


def request_ids(service: FakeService) -> list[str]:
    return [request_id for frame in service.frames for request_id in frame.request_ids]


def unused_address() -> str:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def test_all_callers_share_one_stream(connect: Connect, fake: FakeService) -> None:
    client = connect(fake.address)

    answers = await asyncio.gather(*(post(client, f"r{index}") for index in range(40)))

    assert fake.streams_opened == 1
    assert sorted(request_ids(fake)) == sorted(f"r{index}" for index in range(40))
    assert {answer.receipt.position for answer in answers} == set(range(1, 41))


async def test_what_gathers_while_frames_are_under_way_leaves_in_one_frame() -> None:
    with FakeService([Hold(), Hold()]) as service:
        async with AsyncClient(service.address) as client:
            # Given two frames under way, which is as many as may be
            first = asyncio.create_task(post(client, "a"))
            await asyncio.to_thread(service.wait_for_frames, 1)
            second = asyncio.create_task(post(client, "b"))
            await asyncio.to_thread(service.wait_for_frames, 2)

            # When twenty more are submitted meanwhile
            more = [asyncio.create_task(post(client, f"r{index:02}")) for index in range(20)]
            await asyncio.sleep(0)
            service.release()
            await asyncio.gather(first, second, *more)

    # Then they leave together, in the order in which they came
    assert [frame.request_ids for frame in service.frames] == [
        ["a"],
        ["b"],
        [f"r{index:02}" for index in range(20)],
    ]


@pytest.mark.parametrize(
    ("action", "replayed"),
    [
        (Break(applied=True), True),
        (Break(applied=False), False),
        (Break(applied=True, code=grpc.StatusCode.CANCELLED), True),
        (End(), False),
    ],
    ids=["applied", "not-applied", "cancelled", "ended"],
)
async def test_g3_after_a_break_a_command_is_sent_again_and_applied_once(
    connect: Connect, action: Break | End, replayed: bool
) -> None:
    with FakeService([action]) as service:
        answer = await post(connect(service.address), "r1")

    assert request_ids(service) == ["r1", "r1"]
    assert service.streams_opened == 2
    assert answer.receipt.position == 1
    assert answer.receipt.replayed is replayed


async def test_g3_after_a_restart_everything_without_an_answer_is_sent_again(
    connect: Connect,
) -> None:
    with FakeService([Hold()]) as service:
        client = connect(service.address)
        # Given ten commands that were sent and have no answer
        callers = [asyncio.create_task(post(client, f"r{index}")) for index in range(10)]
        await asyncio.to_thread(service.wait_for_frames, 1)

        # When the service is cut off and comes back
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(service.start)
        answers = await asyncio.gather(*callers)

    assert len(service.sequences) == 10
    assert {answer.receipt.position for answer in answers} == set(range(1, 11))


async def test_attempts_end_with_their_number_and_say_what_is_unknown(connect: Connect) -> None:
    with FakeService([Break(applied=True)] * 3) as service:
        client = connect(service.address, max_attempts=2)

        with pytest.raises(errors.UnavailableError) as raised:
            await post(client, "r1")

    assert request_ids(service) == ["r1", "r1"]
    assert raised.value.outcome_unknown is True
    assert raised.value.request_id == "r1"


async def test_a_service_that_is_not_there_is_told_with_a_known_outcome(connect: Connect) -> None:
    address = unused_address()

    with pytest.raises(errors.UnavailableError, match="gapless serve") as raised:
        await post(connect(address, max_attempts=1))

    assert address in str(raised.value)
    assert raised.value.outcome_unknown is False


async def test_the_timeout_is_the_whole_budget_of_all_attempts(connect: Connect) -> None:
    client = connect(unused_address(), timeout=0.3)

    with pytest.raises(errors.UnavailableError) as raised:
        await post(client)

    assert raised.value.outcome_unknown is False


async def test_time_over_while_a_command_is_under_way_is_told_as_unknown(connect: Connect) -> None:
    with FakeService([Hold()]) as service:
        client = connect(service.address)

        with pytest.raises(errors.DeadlineExceededError, match="get_request") as raised:
            await post(client, "r1", timeout=0.2)

        # The stream is as good as before, and its answers still find their callers.
        service.release()
        assert (await post(client, "r2")).receipt.position == 2
    assert (raised.value.outcome_unknown, raised.value.request_id) == (True, "r1")
    assert service.streams_opened == 1


async def test_a_refusal_that_passes_is_sent_again_after_its_delay(connect: Connect) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(20)
    detail = PackedAny()
    detail.Pack(retry)
    status = status_pb2.Status(code=8, message="the queue is full", details=[detail])
    full = CommandError(code=8, reason="QUEUE_FULL", status=status.SerializeToString())
    with FakeService([Refuse(full), Refuse(QUEUE_FULL)]) as service:
        answer = await post(connect(service.address), "r1")

    assert request_ids(service) == ["r1", "r1", "r1"]
    assert answer.receipt.replayed is False


async def test_a_final_refusal_is_raised_at_once(connect: Connect) -> None:
    with (
        FakeService([Refuse(NO_CHANNEL)]) as service,
        pytest.raises(errors.ChannelNotFound) as raised,
    ):
        await post(connect(service.address), "r1")

    assert request_ids(service) == ["r1"]
    assert (raised.value.request_id, raised.value.outcome_unknown) == ("r1", False)


@pytest.mark.parametrize(
    ("refusal", "is_open"),
    [(QUEUE_FULL, True), (NO_CHANNEL, False)],
    ids=["turned-away-unseen", "decided"],
)
async def test_only_a_decided_refusal_closes_the_outcome_of_an_earlier_attempt(
    connect: Connect, refusal: CommandError, is_open: bool
) -> None:
    with (
        FakeService([Break(applied=True), Refuse(refusal)]) as service,
        pytest.raises(GaplessError) as raised,
    ):
        await post(connect(service.address, max_attempts=2), "r1")

    assert raised.value.reason == refusal.reason
    assert raised.value.outcome_unknown is is_open


async def test_an_answer_that_does_not_fit_fails_its_frame_alone(connect: Connect) -> None:
    with FakeService([Garble()]) as service:
        client = connect(service.address)

        with pytest.raises(errors.InternalError, match="do not fit together") as raised:
            await post(client, "r1")

        assert (await post(client, "r2")).receipt.position == 2
    assert raised.value.outcome_unknown is True


async def test_a_namespace_and_a_caller_have_a_stream_of_their_own(
    connect: Connect, fake: FakeService
) -> None:
    client = connect(fake.address, caller="importer")
    other = client.with_namespace("other")

    await post(client, "r1")
    await post(other, "r2")
    await post(other.with_options(timeout=5.0, max_attempts=3), "r3")

    by_stream = [(frame.stream, frame.metadata.get("gapless-namespace")) for frame in fake.frames]
    assert by_stream == [(0, None), (1, "other"), (1, "other")]
    assert {frame.metadata["gapless-caller"] for frame in fake.frames} == {"importer"}


async def test_closing_fails_what_is_under_way_and_all_that_comes(connect: Connect) -> None:
    with FakeService([Hold()]) as service:
        client = connect(service.address)
        caller = asyncio.create_task(post(client, "r1"))
        await asyncio.to_thread(service.wait_for_frames, 1)

        await client.close()

        with pytest.raises(ClientClosedError) as raised:
            await caller
        assert raised.value.outcome_unknown is True
        with pytest.raises(ClientClosedError):
            await post(client, "r2")
        with pytest.raises(ClientClosedError):
            await client.operations.server_info()


async def test_closing_a_view_closes_nothing(connect: Connect, fake: FakeService) -> None:
    client = connect(fake.address)
    async with client.with_namespace("other") as view:
        await post(view)

    await post(view)
    await post(client)


async def test_closing_ends_the_wait_for_a_service_that_is_not_there(connect: Connect) -> None:
    client = connect(unused_address())
    caller = asyncio.create_task(post(client))
    await asyncio.sleep(0)

    await client.close()

    with pytest.raises(GaplessError):
        await caller


async def test_a_cancelled_caller_abandons_its_answer_and_nothing_else() -> None:
    with FakeService([Hold()]) as service:
        async with AsyncClient(service.address) as client:
            caller = asyncio.create_task(post(client, "r1"))
            other = asyncio.create_task(post(client, "r2"))
            await asyncio.to_thread(service.wait_for_frames, 1)

            caller.cancel()
            service.release()

            assert (await other).receipt.position == 2
            assert caller.cancelled()
    assert service.sequences == {"r1": 1, "r2": 2}


async def test_g7_callers_wait_for_room_beyond_the_limit(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pipeline in PIPELINES:
        monkeypatch.setattr(f"{pipeline}.QUEUE_COMMANDS_MAX", 3)
    with FakeService([Hold()]) as service:
        client = connect(service.address)
        # Given one command under way that is held, so that room is scarce
        callers = [asyncio.create_task(post(client))]
        await asyncio.to_thread(service.wait_for_frames, 1)

        # When many more come than there is room for
        callers += [asyncio.create_task(post(client)) for _ in range(30)]
        await asyncio.sleep(0)
        service.release()
        answers = await asyncio.gather(*callers)

    assert {answer.receipt.position for answer in answers} == set(range(1, 32))
    assert max(len(frame.request_ids) for frame in service.frames) <= 3


async def test_g7_waiting_for_room_ends_with_the_timeout(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pipeline in PIPELINES:
        monkeypatch.setattr(f"{pipeline}.QUEUE_COMMANDS_MAX", 1)
    with FakeService([Hold()]) as service:
        client = connect(service.address)
        first = asyncio.create_task(post(client, "r1"))
        await asyncio.to_thread(service.wait_for_frames, 1)

        with pytest.raises(
            errors.DeadlineExceededError, match="as many without an answer"
        ) as raised:
            await post(client, "r2", timeout=0.1)

        service.release()
        await first
        await post(client, "r3")
    assert raised.value.outcome_unknown is False
    assert request_ids(service) == ["r1", "r3"]


async def test_a_stream_asks_for_the_service_only_where_there_is_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only on asyncio: a channel of the blocking client does not tell whether it is connected."""
    monkeypatch.setattr(f"{PIPELINES[0]}.STREAM_IDLE_SECONDS_MAX", 0.05)
    with FakeService() as service:
        async with AsyncClient(service.address) as client:
            await post(client)
            await asyncio.to_thread(service.wait_for_ended_streams, 1)
            await post(client)

    assert service.streams_opened == 2
    assert len(service.reads_metadata) == 1


async def test_a_service_that_has_gone_meanwhile_is_told_with_a_known_outcome(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pipeline in PIPELINES:
        monkeypatch.setattr(f"{pipeline}.STREAM_IDLE_SECONDS_MAX", 0.05)
    with FakeService() as service:
        client = connect(service.address, max_attempts=1)
        await post(client)
        await asyncio.to_thread(service.wait_for_ended_streams, 1)

    with pytest.raises(errors.UnavailableError) as raised:
        await post(client)

    assert raised.value.outcome_unknown is False


async def test_an_idle_stream_is_closed_and_the_next_command_opens_another(
    connect: Connect, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pipeline in PIPELINES:
        monkeypatch.setattr(f"{pipeline}.STREAM_IDLE_SECONDS_MAX", 0.05)
    client = connect(fake.address)
    await post(client)
    await asyncio.to_thread(fake.wait_for_ended_streams, 1)

    await post(client)

    assert fake.streams_opened == 2


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
async def test_a_timeout_that_is_no_time_is_refused(
    connect: Connect, fake: FakeService, timeout: float
) -> None:
    with pytest.raises(ValueError, match="timeout"):
        await post(connect(fake.address), timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        connect(fake.address, timeout=timeout)


async def test_an_infinite_timeout_is_no_limit(connect: Connect, fake: FakeService) -> None:
    assert (await post(connect(fake.address), timeout=float("inf"))).receipt.position == 1


async def test_another_method_than_the_service_has_is_told(
    connect: Connect, fake: FakeService
) -> None:
    with pytest.raises(errors.UnimplementedError, match="as new as this SDK"):
        await connect(fake.address).operations.server_info()


def test_a_client_belongs_to_the_event_loop_that_first_used_it(fake: FakeService) -> None:
    client = AsyncClient(fake.address)

    async def use() -> None:
        await post(client)

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(use())
        with pytest.raises(GaplessError, match="another event loop"):
            second.run(use())
        first.run(client.close())


async def test_the_answer_of_a_script_that_is_over_is_the_usual_one() -> None:
    with FakeService([Answer()]) as service:
        async with AsyncClient(service.address) as client:
            assert [(await post(client)).receipt.position for _ in range(2)] == [1, 2]
