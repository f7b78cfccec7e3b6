"""The floors: what gRPC alone and the disk alone cost. They store nothing and keep no promise."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from bench.servers import HOST, free_port, running
from gapless_server.load.driver import Post

SERVICE = "bench.Echo"
# As the service has it.
GC_THRESHOLDS = (50_000, 50, 100)
# What an answer to a post weighs.
ANSWER = bytes(40)
# What a round with one post weighs in the log.
RECORD = bytes(4096)


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs the echo with the event loop, collector and options of the service."""
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.floors", str(port)]
    with running(command, port, directory / "log", environment) as pid:
        yield {"port": port, "pid": pid}


@contextmanager
def file(directory: Path, _environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """There is no server, only a file to be synced."""
    yield {"path": str(directory / "file")}


def server_version() -> str:
    """The version of gRPC."""
    return f"grpcio {grpc.__version__}"


class EchoUnaryDriver:
    """A unary call a post."""

    def __init__(self, port: int) -> None:
        self._target = f"{HOST}:{port}"

    async def open(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._target)
        self._call: Any = self._channel.unary_unary(f"/{SERVICE}/Unary")
        await self._channel.channel_ready()

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """There are no channels."""

    async def post(self, post: Post) -> int:
        await self._call(post.body)
        return 0

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        raise NotImplementedError("the echo takes no frames")

    async def close(self) -> None:
        await self._channel.close()


class EchoStreamDriver(EchoUnaryDriver):
    """A message a post on one stream; `in_flight` must be 1."""

    async def open(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._target)
        self._stream: Any = self._channel.stream_stream(f"/{SERVICE}/Stream")()

    async def post(self, post: Post) -> int:
        await self._stream.write(post.body)
        await self._stream.read()
        return 0

    async def close(self) -> None:
        self._stream.cancel()
        await self._channel.close()


class SyncDriver:
    """Writes a page behind the last one and syncs it, as a write-ahead log does."""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> None:
        self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def prepare(self, channel_ids: Sequence[str]) -> None:
        """There are no channels."""

    def post(self, post: Post) -> int:
        os.write(self._file, RECORD)
        os.fdatasync(self._file)
        return 0

    def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        raise NotImplementedError("the disk takes no frames")

    def close(self) -> None:
        os.close(self._file)


async def _unary(_request: bytes, _context: Any) -> bytes:
    return ANSWER


async def _stream(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield ANSWER


async def _serve(port: int) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    await server.wait_for_termination()


def main() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
