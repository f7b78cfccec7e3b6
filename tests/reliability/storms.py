"""Storms of calls whose callers are gone before the answer: as many ways to leave as there are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from gapless.metadata import call_metadata
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless.v1.events_pb2 import WatchRequest
from gapless.v1.locks_pb2 import AcquireLockRequest
from gapless.v1.messages_pb2 import PostMessageRequest, PostMessageResponse
from tests.reliability.raw_streams import RawConnection

CHANNELS: Final = ("red", "green", "blue")
# Held by somebody for as long as the storm goes on.
HELD_LOCK: Final = "door"
WAIT_SECONDS: Final = 1_800
WAIT_SECONDS_MAX: Final = 3_600

# So many calls of one way are under way at a time.
BURST: Final = 50

POST: Final = "/gapless.v1.MessageService/PostMessage"
CREATE: Final = "/gapless.v1.ChannelService/CreateChannel"
ACQUIRE: Final = "/gapless.v1.LockService/AcquireLock"
PIPELINE: Final = "/gapless.v1.CommandService/Pipeline"
WATCH: Final = "/gapless.v1.EventService/Watch"

# No caller in these storms can be told anything else.
_EXPECTED: Final = (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


class Storm:
    """Sends commands whose callers leave; knows which of them were answered all the same."""

    def __init__(self, address: str, namespace: str, chance: random.Random) -> None:
        self.requests: dict[str, PostMessageRequest] = {}
        self.answered: dict[str, PostMessageResponse] = {}
        # Ends of calls that nobody should be told.
        self.unexpected: list[str] = []
        self._address = address
        self._namespace = namespace
        self._metadata: Any = call_metadata(namespace=namespace)
        self._chance = chance
        self._number = 0
        self._channel = grpc.aio.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )

    async def close(self) -> None:
        await self._channel.close()

    def ways(self) -> dict[str, Callable[[], Awaitable[int]]]:
        """The ways to leave; each runs one burst, and returns how many calls that was."""
        return {
            "cancelled_after_a_moment": self._unary(self._leave_soon),
            "cancelled_at_once": self._unary(self._leave_at_once),
            "deadlines_of_1_ms": self._unary(self._leave_by_deadline),
            "waits_for_a_lock_cancelled": self._leave_the_line,
            "pipelines_cancelled": self._leave_pipelines,
            "watches_cancelled": self._leave_watches,
            "streams_reset": lambda: self._raw(reset_streams=True, reset_connection=False),
            "connections_reset": lambda: self._raw(reset_streams=False, reset_connection=True),
            "requests_half_sent": lambda: self._raw(
                reset_streams=False, reset_connection=True, whole=False
            ),
        }

    async def create_channels(self) -> None:
        for channel_id in CHANNELS:
            request = CreateChannelRequest(request_id=f"create-{channel_id}", channel_id=channel_id)
            await self._stub(CREATE)(request.SerializeToString(), metadata=self._metadata)

    async def post(self, request: PostMessageRequest) -> PostMessageResponse:
        """Posts, and waits for the answer."""
        data = await self._stub(POST)(request.SerializeToString(), metadata=self._metadata)
        return PostMessageResponse.FromString(data)

    def new_request(self) -> PostMessageRequest:
        self._number += 1
        request = PostMessageRequest(
            request_id=f"r{self._number}",
            channel_id=self._chance.choice(CHANNELS),
            sender_id="storm",
        )
        self.requests[request.request_id] = request
        return request

    async def _moment(self, seconds_max: float) -> None:
        # Not to wait for something: to leave at any moment of the call.
        await asyncio.sleep(self._chance.uniform(0, seconds_max))

    def _stub(self, path: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        return self._channel.unary_unary(path)

    def _unary(
        self, leave: Callable[[PostMessageRequest], Awaitable[None]]
    ) -> Callable[[], Awaitable[int]]:
        async def burst() -> int:
            await asyncio.gather(*(leave(self.new_request()) for _ in range(BURST)))
            return BURST

        return burst

    async def _leave_soon(self, request: PostMessageRequest) -> None:
        call = self._call(request)
        await self._moment(0.1)
        call.cancel()
        await self._end(request, call)

    async def _leave_at_once(self, request: PostMessageRequest) -> None:
        call = self._call(request)
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        call.cancel()
        await self._end(request, call)

    async def _leave_by_deadline(self, request: PostMessageRequest) -> None:
        await self._end(request, self._call(request, timeout=0.001))

    def _call(self, request: PostMessageRequest, timeout: float | None = None) -> Any:
        return self._stub(POST)(
            request.SerializeToString(), metadata=self._metadata, timeout=timeout
        )

    async def _end(self, request: PostMessageRequest, call: Any) -> None:
        code = await call.code()
        if code is grpc.StatusCode.OK:
            self.answered[request.request_id] = PostMessageResponse.FromString(await call)
        elif code not in _EXPECTED:
            self.unexpected.append(f"{request.request_id}: {code}: {await call.details()}")

    async def _leave_the_line(self) -> int:
        calls = []
        for _ in range(BURST):
            self._number += 1
            request = AcquireLockRequest(
                request_id=f"line-{self._number}",
                lock_id=HELD_LOCK,
                holder_id="storm",
                ttl_seconds=60,
                wait_seconds=self._chance.randint(WAIT_SECONDS // 10, WAIT_SECONDS_MAX),
            )
            calls.append(self._stub(ACQUIRE)(request.SerializeToString(), metadata=self._metadata))
        await self._moment(0.05)
        for call in calls:
            call.cancel()
        for code in await asyncio.gather(*(call.code() for call in calls)):
            if code not in _EXPECTED:
                self.unexpected.append(f"a wait for a lock that is held ended with {code}")
        return BURST

    async def _leave_pipelines(self) -> int:
        frames = [[self.new_request() for _ in range(10)] for _ in range(BURST // 10)]

        async def leave(frame: list[PostMessageRequest]) -> None:
            opened: Any = self._channel.stream_stream(PIPELINE)(metadata=self._metadata)
            commands = [Command(post_message=request) for request in frame]
            try:
                await opened.write(PipelineRequest(commands=commands).SerializeToString())
                await self._moment(0.01)
            finally:
                opened.cancel()

        await asyncio.gather(*(leave(frame) for frame in frames))
        return BURST

    async def _leave_watches(self) -> int:
        request = WatchRequest(from_start=True).SerializeToString()

        async def leave() -> None:
            call: Any = self._channel.unary_stream(WATCH)(request, metadata=self._metadata)
            responses: AsyncIterator[bytes] = call.__aiter__()
            try:
                # Some read nothing: then the service is in the middle of sending.
                for _ in range(self._chance.randrange(3)):
                    await anext(responses)
                await self._moment(0.01)
            finally:
                call.cancel()

        await asyncio.gather(*(leave() for _ in range(BURST // 5)))
        return BURST // 5

    async def _raw(self, *, reset_streams: bool, reset_connection: bool, whole: bool = True) -> int:
        connection = RawConnection(self._address, self._namespace)
        await connection.open()
        try:
            for _ in range(BURST):
                data = self.new_request().SerializeToString()
                connection.call(POST, data, reset=reset_streams, whole=whole)
            await connection.sent()
            await self._moment(0.01)
        finally:
            await connection.end(reset=reset_connection)
        return BURST
