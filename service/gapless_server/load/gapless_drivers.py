"""The drivers of gapless itself: through the SDK, by unary calls, and by frames made by hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc.aio

from gapless import AsyncClient
from gapless.metadata import call_metadata
from gapless.v1.commands_pb2 import PipelineRequest, PipelineResponse
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless.v1.messages_pb2_grpc import MessageServiceStub
from gapless_server.load.driver import Post

_SENDER = "load"
_CONTENT_TYPE = "text/plain"


class _Driver:
    """What all three share: where the service is, and channels made through the SDK."""

    def __init__(self, target: str, namespace: str) -> None:
        self._target = target
        self._namespace = namespace
        self._metadata = call_metadata(namespace=namespace)

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Makes the channels."""
        async with AsyncClient(self._target, namespace=self._namespace) as client:
            await asyncio.gather(*(client.channels.create(one) for one in channel_ids))


class SdkDriver(_Driver):
    """``AsyncClient`` as an application uses it: a task a post, frames made by the SDK."""

    async def open(self) -> None:
        """Connects."""
        self._client = AsyncClient(self._target, namespace=self._namespace)
        await self._client.operations.server_info()
        self._post = self._client.messages.post

    async def post(self, post: Post) -> int:
        """Runs one post."""
        channel_id, request_id, body = post
        posted = await self._post(channel_id, _SENDER, body, request_id=request_id)
        return posted.sequence

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        """Runs many posts and returns their sequences."""
        return await asyncio.gather(*map(self.post, posts))

    async def close(self) -> None:
        """Disconnects."""
        await self._client.close()


class UnaryDriver(_Driver):
    """A plain gRPC call a post, as a client in any language makes it."""

    async def open(self) -> None:
        """Connects."""
        self._channel = grpc.aio.insecure_channel(self._target)
        self._stub: Any = MessageServiceStub(self._channel)
        await self._channel.channel_ready()

    async def post(self, post: Post) -> int:
        """Runs one post."""
        response = await self._stub.PostMessage(_request(post), metadata=self._metadata)
        return int(response.sequence)

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        """Runs many posts and returns their sequences."""
        return await asyncio.gather(*map(self.post, posts))

    async def close(self) -> None:
        """Disconnects."""
        await self._channel.close()


class FrameDriver(_Driver):
    """The pipelined stream used by hand: a frame a call, several frames under way."""

    async def open(self) -> None:
        """Connects."""
        self._channel = grpc.aio.insecure_channel(self._target)
        stub: Any = CommandServiceStub(self._channel)
        self._stream = stub.Pipeline(metadata=self._metadata)
        self._waiting: deque[asyncio.Future[PipelineResponse]] = deque()
        self._writing = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while isinstance(response := await self._stream.read(), PipelineResponse):
                self._waiting.popleft().set_result(response)
        except grpc.aio.AioRpcError as error:
            for waiter in self._waiting:
                waiter.set_exception(error)

    async def post(self, post: Post) -> int:
        """Runs one post."""
        return (await self.post_frame([post]))[0]

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        """Runs many posts and returns their sequences."""
        frame = PipelineRequest()
        add = frame.commands.add
        for post in posts:
            _fill(add().post_message, post)
        waiter: asyncio.Future[PipelineResponse] = asyncio.get_running_loop().create_future()
        async with self._writing:
            self._waiting.append(waiter)
            await self._stream.write(frame)
        response = await waiter
        sequences = [result.post_message.sequence for result in response.results]
        if 0 in sequences:
            refused = response.results[sequences.index(0)].error
            raise RuntimeError(f"a post was refused: {refused}")
        return sequences

    async def close(self) -> None:
        """Disconnects."""
        self._reader.cancel()
        self._stream.cancel()
        await self._channel.close()


def _request(post: Post) -> PostMessageRequest:
    request = PostMessageRequest()
    _fill(request, post)
    return request


def _fill(request: PostMessageRequest, post: Post) -> None:
    """Sets the fields in place: a message that is passed as an argument is copied."""
    request.channel_id, request.request_id, request.body.data = post
    request.sender_id = _SENDER
    request.body.content_type = _CONTENT_TYPE
