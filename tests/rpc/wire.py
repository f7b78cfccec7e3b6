"""Calls as bytes, below every stub: what a client of any language, or a bad one, could send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple, TypeVar

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gapless.metadata import call_metadata
from gapless.v1.channels_pb2 import CreateChannelRequest, CreateChannelResponse
from gapless.v1.commands_pb2 import Command, CommandResult, PipelineRequest, PipelineResponse
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest

Response = TypeVar("Response", bound=Message)
Metadata = Iterable[tuple[str, str]]

DETAILS_KEY = "grpc-status-details-bin"
GENERAL = "general"

# Above what any call here takes by far; a hang must not take the whole run.
SECONDS_MAX = 30


class Seen(NamedTuple):
    """A refusal as a client sees it."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_seconds: float | None
    message: str


def seen(status: status_pb2.Status) -> Seen:
    """Returns what a google.rpc.Status says."""
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry_seconds = None
    for detail in status.details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
        detail.Unpack(info)
        detail.Unpack(bad_request)
    assert info.domain == "gapless", status
    return Seen(
        next(code for code in grpc.StatusCode if code.value[0] == status.code),
        info.reason,
        dict(info.metadata),
        {violation.field: violation.description for violation in bad_request.field_violations},
        retry_seconds,
        status.message,
    )


def seen_in(error: grpc.aio.AioRpcError) -> Seen:
    """Returns what the trailers of a call that failed say, which must agree with its status."""
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    assert isinstance(details, bytes), f"no details: {error}"
    status = status_pb2.Status.FromString(details)
    found = seen(status)
    assert found.code is error.code()
    assert found.message == error.details()
    return found


def seen_in_result(result: CommandResult) -> Seen:
    """Returns why a command of a frame was refused, which it must have been."""
    assert result.WhichOneof("result") == "error", result
    found = seen(status_pb2.Status.FromString(result.error.status))
    assert (result.error.code, result.error.reason, result.error.message) == (
        found.code.value[0],
        found.reason,
        found.message,
    )
    return found


class Wire:
    """A connection to the service, in one namespace."""

    def __init__(self, channel: grpc.aio.Channel, namespace: str) -> None:
        self.channel = channel
        self.namespace = namespace

    def metadata(self, metadata: Metadata | None) -> Any:
        """Returns the metadata of a call; None is that of the namespace."""
        return call_metadata(namespace=self.namespace) if metadata is None else tuple(metadata)

    async def call(
        self,
        method: str,
        request: Message | bytes,
        response_type: type[Response],
        metadata: Metadata | None = None,
        timeout: float = SECONDS_MAX,
    ) -> Response:
        """Calls a unary method, for example "ChannelService/GetChannel"."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        unary: Any = self.channel.unary_unary(f"/gapless.v1.{method}")
        answer = await unary(data, metadata=self.metadata(metadata), timeout=timeout)
        return response_type.FromString(answer)

    async def refusal(
        self, method: str, request: Message | bytes, metadata: Metadata | None = None
    ) -> Seen:
        """Calls a unary method that must fail, and returns how it was refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, CreateChannelResponse, metadata)
        return seen_in(caught.value)

    def stream(
        self, method: str, request: Message | bytes, metadata: Metadata | None = None
    ) -> Any:
        """Calls a method that streams its responses, which are bytes."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        streaming: Any = self.channel.unary_stream(f"/gapless.v1.{method}")
        return streaming(data, metadata=self.metadata(metadata))

    def pipeline(self, metadata: Metadata | None = None) -> Pipeline:
        """Opens a stream of frames."""
        method: Any = self.channel.stream_stream("/gapless.v1.CommandService/Pipeline")
        return Pipeline(method(metadata=self.metadata(metadata)))

    async def run(self, *commands: Command) -> list[CommandResult]:
        """Runs one frame on a stream of its own, and returns its results."""
        pipeline = self.pipeline()
        await pipeline.send(frame(*commands))
        results = await pipeline.results()
        await pipeline.end()
        return results

    async def pipeline_refusal(self, command: Command) -> Seen:
        """Runs one command on a stream of its own, which must be ended instead of answered."""
        pipeline = self.pipeline()
        await pipeline.send(frame(command))
        return await pipeline.refusal()

    async def create_channel(self, channel_id: str = GENERAL) -> None:
        request = CreateChannelRequest(request_id=f"create {channel_id}", channel_id=channel_id)
        await self.call("ChannelService/CreateChannel", request, CreateChannelResponse)


class Pipeline:
    """A stream of frames, which are bytes."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def send(self, data: bytes) -> None:
        await self.call.write(data)

    async def results(self) -> list[CommandResult]:
        """Returns the results of the next frame."""
        async with asyncio.timeout(SECONDS_MAX):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, await self.call.code()
        return list(PipelineResponse.FromString(data).results)

    async def end(self) -> None:
        """Says that there are no more frames; the stream must then end well."""
        await self.call.done_writing()
        async with asyncio.timeout(SECONDS_MAX):
            assert await self.call.read() is grpc.aio.EOF
            assert await self.call.code() is grpc.StatusCode.OK

    async def answers_until_it_ends(self) -> tuple[list[list[CommandResult]], Seen]:
        """Returns the results of the frames that are still answered, and why the stream ended."""
        answers = []
        while True:
            try:
                answers.append(await self.results())
            except grpc.aio.AioRpcError as error:
                return answers, seen_in(error)

    async def refusal(self) -> Seen:
        """Returns how the stream was ended, which it must have been, without a further answer."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(SECONDS_MAX):
                await self.call.read()
        return seen_in(caught.value)


def frame(*commands: Command) -> bytes:
    return PipelineRequest(commands=commands).SerializeToString()


def post(request_id: str, text: str = "hello", channel_id: str = GENERAL) -> Command:
    request = PostMessageRequest(
        request_id=request_id,
        channel_id=channel_id,
        sender_id="ann",
        body=Body(data=text.encode()),
    )
    return Command(post_message=request)


def sequences(results: Iterable[CommandResult]) -> list[int]:
    """Returns the sequences that posts got; 0 for what was refused."""
    return [result.post_message.sequence for result in results]


async def open_wire(address: str, namespace: str) -> AsyncIterator[Wire]:
    """Yields a connection; a message of any size is let through, for the service to refuse."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Wire(channel, namespace)
