"""Reads are sent again while that may help, within the timeout; both colours."""

from __future__ import annotations

import grpc
import pytest

from gapless import errors
from tests.sdk.conftest import Connect
from tests.sdk.fake_service import FakeService

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


async def test_a_read_is_sent_again_until_it_is_answered(connect: Connect) -> None:
    with FakeService(reads=[UNAVAILABLE, grpc.StatusCode.CANCELLED, OK]) as service:
        await connect(service.address).operations.server_info()

    assert len(service.reads_metadata) == 3


async def test_a_read_is_sent_no_more_often_than_allowed(connect: Connect) -> None:
    with FakeService(reads=[UNAVAILABLE] * 3) as service:
        client = connect(service.address, max_attempts=2)
        with pytest.raises(errors.UnavailableError):
            await client.operations.server_info()

    assert len(service.reads_metadata) == 2


async def test_a_read_that_can_not_succeed_is_not_sent_again(connect: Connect) -> None:
    with FakeService(reads=[grpc.StatusCode.PERMISSION_DENIED, OK]) as service:
        client = connect(service.address)
        with pytest.raises(errors.PermissionDeniedError):
            await client.operations.server_info()

    assert len(service.reads_metadata) == 1


async def test_a_read_without_an_answer_ends_with_its_timeout(connect: Connect) -> None:
    with FakeService(reads=[None]) as service:
        client = connect(service.address)
        with pytest.raises(errors.DeadlineExceededError, match="timeout=") as raised:
            await client.operations.server_info(timeout=0.1)
        service.release()

    assert raised.value.outcome_unknown is False


async def test_a_call_says_who_asks_for_what(connect: Connect) -> None:
    with FakeService(reads=[OK]) as service:
        client = connect(service.address, namespace="team-a", caller="importer")
        await client.with_options(min_position=7).operations.server_info()

    (metadata,) = service.reads_metadata
    assert metadata["gapless-namespace"] == "team-a"
    assert metadata["gapless-caller"] == "importer"
    assert metadata["gapless-min-position"] == "7"
    assert str(metadata["user-agent"]).startswith("gapless-python/")


async def test_options_of_the_channel_are_the_callers_to_set(connect: Connect) -> None:
    options = {"grpc.primary_user_agent": "my-tool/1"}
    with FakeService(reads=[OK]) as service:
        client = connect(service.address, channel_options=options)
        await client.operations.server_info()

    assert str(service.reads_metadata[0]["user-agent"]).startswith("my-tool/1")


async def test_credentials_secure_the_channel(connect: Connect) -> None:
    with FakeService(credentials=grpc.local_server_credentials()) as service:
        client = connect(service.address, credentials=grpc.local_channel_credentials())

        posted = await client.messages.post("general", "alice", "hello")

    assert posted.receipt.position == 1
