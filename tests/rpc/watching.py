"""A watch as a raw stream, and the log as pages."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from gapless.v1.events_pb2 import (
    Entry,
    EventFilter,
    ReadEventsRequest,
    ReadEventsResponse,
    WatchRequest,
    WatchResponse,
)
from tests.rpc.wire import SECONDS_MAX, Metadata, Seen, Wire, seen_in


class Watching:
    """An open watch."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def next(self) -> WatchResponse:
        async with asyncio.timeout(SECONDS_MAX):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, "the stream has ended"
        return WatchResponse.FromString(data)

    async def until(self, content: str) -> WatchResponse:
        """Returns the next message with this content, whatever comes before it."""
        while True:
            response = await self.next()
            if response.WhichOneof("content") == content:
                return response

    async def entries_until_caught_up(self) -> list[Entry]:
        entries: list[Entry] = []
        while True:
            response = await self.next()
            if response.WhichOneof("content") == "caught_up":
                return entries
            entries += response.entries.entries

    async def entries_up_to(self, position: int) -> list[Entry]:
        """Returns entries up to and with this position."""
        entries: list[Entry] = []
        while not entries or entries[-1].position < position:
            entries += (await self.next()).entries.entries
        return entries

    async def ended(self) -> grpc.StatusCode:
        """Waits for the end of the stream, which must be the next thing that comes."""
        async with asyncio.timeout(SECONDS_MAX):
            assert await self.call.read() is grpc.aio.EOF
            code: grpc.StatusCode = await self.call.code()
        return code

    async def refusal(self) -> Seen:
        """Returns how the stream was refused or ended, whatever comes before."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.until("never")
        return seen_in(caught.value)

    def cancel(self) -> None:
        self.call.cancel()


def watch(wire: Wire, metadata: Metadata | None = None, **start: Any) -> Watching:
    """Opens a watch; `start` has the fields of a WatchRequest."""
    return Watching(wire.stream("EventService/Watch", WatchRequest(**start), metadata))


async def cursor_now(wire: Wire) -> str:
    """Returns a cursor that stands at the head of the log."""
    watching = watch(wire, from_now=True)
    caught_up = await watching.until("caught_up")
    watching.cancel()
    return caught_up.cursor


async def read_page(
    wire: Wire, cursor: str = "", page_size: int = 0, wanted: EventFilter | None = None
) -> ReadEventsResponse:
    request = ReadEventsRequest(cursor=cursor, page_size=page_size, filter=wanted)
    return await wire.call("EventService/ReadEvents", request, ReadEventsResponse)


def positions(entries: list[Entry]) -> list[int]:
    return [entry.position for entry in entries]
