"""A connection that is closed, or first used elsewhere, in the middle of a call says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from gapless import ClientClosedError, ClientElsewhereError
from gapless._async._connection import Connection as AsyncConnection
from gapless._async._transport import open_channel as open_async_channel
from gapless._options import ConnectionOptions
from gapless._queries import QueryKind
from gapless._sync._connection import Connection
from gapless.testing import InProcessServer
from gapless.v1.operations_pb2 import GetServerInfoRequest, GetServerInfoResponse
from tests.sdk.conftest import Connect

OPTIONS = ConnectionOptions("127.0.0.1:1", None, {})
READ = QueryKind("OperationsService.GetServerInfo", GetServerInfoResponse)


class ClosedMeanwhile:
    """A channel whose client another thread closes after a call has asked for its method."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._channel = grpc.insecure_channel(options.target)
        self.connection: Any = None

    def __getattr__(self, name: str) -> Any:
        def method(*arguments: Any, **named: Any) -> Any:
            found = getattr(self._channel, name)(*arguments, **named)
            self.connection.close()
            return found

        return method

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def closed_meanwhile() -> Iterator[Connection]:
    connection = Connection(OPTIONS, ClosedMeanwhile)  # type: ignore[arg-type]
    channel: Any = connection.channel()
    channel.connection = connection
    yield connection
    connection.close()


def test_a_call_whose_client_is_closed_as_it_begins_says_so(closed_meanwhile: Connection) -> None:
    with pytest.raises(ClientClosedError):
        closed_meanwhile.call(READ, GetServerInfoRequest(), 1.0, ())


def test_a_stream_whose_client_is_closed_as_it_begins_says_so(
    closed_meanwhile: Connection,
) -> None:
    with pytest.raises(ClientClosedError):
        closed_meanwhile.stream(READ, GetServerInfoRequest(), ())


def test_no_channel_is_opened_by_a_client_that_was_closed_meanwhile() -> None:
    opened = []

    class ClosedBeforeItOpens(Connection):
        """Closed by another thread after it was seen to be usable."""

        def _open(self) -> grpc.Channel:
            self.close()
            return super()._open()

    def opener(options: ConnectionOptions) -> grpc.Channel:
        opened.append(options)
        return grpc.insecure_channel(options.target)

    with pytest.raises(ClientClosedError):
        ClosedBeforeItOpens(OPTIONS, opener).channel()

    assert not opened


def test_of_two_event_loops_that_use_a_client_at_once_the_second_is_told_so() -> None:
    told: list[BaseException] = []

    async def use() -> None:
        try:
            connection.channel()
        except ClientElsewhereError as error:
            told.append(error)

    second = threading.Thread(target=lambda: asyncio.run(use()))

    def opener(options: ConnectionOptions) -> grpc.aio.Channel:
        second.start()
        # It can not end before this one has opened: a while in which it comes to stand in line.
        second.join(0.3)
        return open_async_channel(options)

    connection = AsyncConnection(OPTIONS, opener)

    async def use_first() -> None:
        connection.channel()
        await asyncio.to_thread(second.join)
        await connection.close()

    asyncio.run(use_first())

    assert len(told) == 1


async def test_g5_idle_streams_make_room_for_one_that_finds_no_place(connect: Connect) -> None:
    # Given a service that takes one stream, which a client has for one namespace and does not use
    with InProcessServer(journal="memory", pipeline_streams_max=1) as server:
        client = connect(server.address, timeout=30.0)
        first, second = client.with_namespace("first"), client.with_namespace("second")
        await first.channels.create("general")

        # Then it may use another
        await second.channels.create("general")

        await client.close()
