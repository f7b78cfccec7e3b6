"""The bare stream: what a Python service could do at best here, had it nothing to promise or check.

Frames over one gRPC stream, dictionaries for sequences and request ids, and a row of SQLite with
one sync for all that came meanwhile. It does no more than that: no limits, no validation, no
checksums, no other kinds of state, no reads, no checkpoints. It forgets sequences and request ids
when it ends, and may answer a repeat before the first is durable. So it is a floor, not a peer.

It commits in a thread of its own, as a service must that has more to do than to wait for its disk,
or on its event loop, which is quicker here, and stands still while the disk does.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from bench.peers.bare_messages import PACKAGE, Answers, Frame, Stored
from bench.peers.floors import GC_THRESHOLDS
from bench.servers import HOST, free_port, running
from gapless_server.load.driver import Post

SERVICE = f"{PACKAGE}.Bare"
ON_LOOP = "on-loop"
IN_THREAD = "in-thread"
# From so many posts without an answer on, a frame is half of them: both ends work at once.
FRAME_POSTS_MIN = 64
FRAMES_UNDER_WAY_MAX = 2


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs the one that commits in a thread."""
    with _serving(directory, environment, IN_THREAD) as facts:
        yield facts


@contextmanager
def server_on_loop(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs the one that commits on its event loop."""
    with _serving(directory, environment, ON_LOOP) as facts:
        yield facts


@contextmanager
def _serving(
    directory: Path, environment: Mapping[str, str], where: str
) -> Iterator[dict[str, object]]:
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.bare", str(port), str(directory / "log.db")]
    with running([*command, where], port, directory / "log", environment) as pid:
        yield {"port": port, "pid": pid}


def server_version() -> str:
    """The versions of what it is made of."""
    return f"bare stream: grpcio {grpc.__version__}, SQLite {sqlite3.sqlite_version}"


class BareDriver:
    """A future a post; what has gathered while frames are under way is the next frame."""

    def __init__(self, port: int) -> None:
        self._target = f"{HOST}:{port}"

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = grpc.aio.insecure_channel(self._target)
        self._stream: Any = self._channel.stream_stream(
            f"/{SERVICE}/Frames",
            request_serializer=Frame.SerializeToString,
            response_deserializer=Answers.FromString,
        )()
        self._waiting: list[tuple[Post, asyncio.Future[int]]] = []
        self._under_way: dict[int, Sequence[asyncio.Future[int]]] = {}
        self._frames_by_hand: dict[int, asyncio.Future[Sequence[int]]] = {}
        self._unanswered = self._number = 0
        self._work = asyncio.Event()
        self._writing = asyncio.Lock()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Channels come with their first post."""

    async def post(self, post: Post) -> int:
        answer: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append((post, answer))
        self._unanswered += 1
        if len(self._under_way) < FRAMES_UNDER_WAY_MAX:
            self._work.set()
        return await answer

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        self._number += 1
        answer = self._frames_by_hand[self._number] = self._loop.create_future()
        await self._send(self._number, posts)
        return await answer

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting and len(self._under_way) < FRAMES_UNDER_WAY_MAX:
                count = max(FRAME_POSTS_MIN, self._unanswered // FRAMES_UNDER_WAY_MAX)
                sent = self._waiting[:count]
                del self._waiting[:count]
                self._number += 1
                self._under_way[self._number] = [answer for _, answer in sent]
                await self._send(self._number, [post for post, _ in sent])

    async def _send(self, number: int, posts: Sequence[Post]) -> None:
        frame = Frame(number=number)
        add = frame.posts.add
        for post in posts:
            one = add()
            one.channel_id, one.request_id, one.body = post
        async with self._writing:
            await self._stream.write(frame)

    async def _read(self) -> None:
        while isinstance(answers := await self._stream.read(), Answers):
            by_hand = self._frames_by_hand.pop(answers.number, None)
            if by_hand is not None:
                by_hand.set_result(answers.sequences)
                continue
            futures = self._under_way.pop(answers.number)
            self._unanswered -= len(futures)
            for future, sequence in zip(futures, answers.sequences, strict=True):
                future.set_result(sequence)
            self._work.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._stream.cancel()
        await self._channel.close()


class _Service:
    """Everything it has: two dictionaries and a file."""

    def __init__(self, path: str, where: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE rounds (number INTEGER PRIMARY KEY, data BLOB)")
        self._thread = ThreadPoolExecutor(1) if where == IN_THREAD else None
        self._sequences: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._frames: list[tuple[Any, Callable[[Any], None]]] = []
        self._work = asyncio.Event()

    async def frames(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        """A stream: frames in, their answers out."""
        answers: asyncio.Queue[Any] = asyncio.Queue()

        async def read() -> None:
            async for frame in requests:
                self._frames.append((frame, answers.put_nowait))
                self._work.set()
            answers.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            reader.cancel()

    async def write(self) -> None:
        """Decides what has come, makes it durable, and answers."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            frames, self._frames = self._frames, []
            stored: list[bytes] = []
            ready = [
                (answer, Answers(number=frame.number, sequences=self._decide(frame, stored)))
                for frame, answer in frames
            ]
            data = b"".join(stored)
            if self._thread is None:
                self._commit(data)
            else:
                await loop.run_in_executor(self._thread, self._commit, data)
            for answer, answers in ready:
                answer(answers)

    def _decide(self, frame: Any, stored: list[bytes]) -> list[int]:
        sequences = []
        for post in frame.posts:
            sequence = self._answered.get(post.request_id)
            if sequence is None:
                sequence = self._sequences.get(post.channel_id, 0) + 1
                self._sequences[post.channel_id] = self._answered[post.request_id] = sequence
                record = Stored(
                    sequence=sequence,
                    channel_id=post.channel_id,
                    request_id=post.request_id,
                    body=post.body,
                )
                stored.append(record.SerializeToString())
            sequences.append(sequence)
        return sequences

    def _commit(self, data: bytes) -> None:
        self._database.execute("INSERT INTO rounds (data) VALUES (?)", (data,))


async def _serve(port: int, path: str, where: str) -> None:
    service = _Service(path, where)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.stream_stream_rpc_method_handler(
        service.frames, Frame.FromString, Answers.SerializeToString
    )
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"Frames": handler})
    server.add_generic_rpc_handlers([handlers])
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    await service.write()


def main() -> None:
    import uvloop

    port, path, where = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(port), path, where))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
