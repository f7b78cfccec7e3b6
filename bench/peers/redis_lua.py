"""Redis: one Lua call checks the key, counts up, adds to a stream and remembers the answer.

Two clients: redis-py, as most write it, with a connection a caller; and the quickest that an
expert would build, which sends the calls of all tasks over one connection as they come (what other
languages' clients do by themselves). Ratios are to the quicker one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.servers import HOST, free_port, program, running, version
from gapless_server.load.driver import Post

POST = """
local known = redis.call('GET', KEYS[3])
if known then return tonumber(known) end
local sequence = redis.call('INCR', KEYS[1])
redis.call('XADD', KEYS[2], sequence .. '-0', 'body', ARGV[1])
redis.call('SET', KEYS[3], sequence)
return sequence
"""
POST_SHA = hashlib.sha1(POST.encode(), usedforsecurity=False).hexdigest()
KEY_COUNT = "3"


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs Redis, which syncs its append-only file before it answers."""
    port = free_port()
    command = [program("redis-server", "redis-server"), "--port", str(port), "--bind", HOST]
    command += ["--dir", str(directory), "--save", "", "--appendonly", "yes"]
    command += ["--appendfsync", "always", "--daemonize", "no"]
    with running(command, port, directory / "log", environment) as pid:
        yield {"port": port, "pid": pid}


def server_version() -> str:
    """What the server says about itself."""
    return version(program("redis-server", "redis-server"), "--version")


def _keys(post: Post) -> tuple[str, str, str]:
    return f"c:{post.channel_id}", f"s:{post.channel_id}", f"r:{post.request_id}"


def _encoded(*parts: str | bytes) -> bytes:
    """A command in the protocol of Redis."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


class RedisPyDriver:
    """redis-py on asyncio, a pool with a connection for each caller; frames are its pipelines."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._connections = connections

    async def open(self) -> None:
        import redis.asyncio as redis

        pool = redis.BlockingConnectionPool(
            host=HOST, port=self._port, max_connections=self._connections, timeout=None
        )
        self._client = redis.Redis(connection_pool=pool)
        self._script = self._client.register_script(POST)
        await self._client.script_load(POST)

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Channels need no making."""

    async def post(self, post: Post) -> int:
        return int(await self._client.evalsha(POST_SHA, 3, *_keys(post), post.body))

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        pipeline = self._client.pipeline(transaction=False)
        for post in posts:
            pipeline.evalsha(POST_SHA, 3, *_keys(post), post.body)
        return list(map(int, await pipeline.execute()))

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()


class RedisSharedDriver(asyncio.Protocol):
    """One connection for all tasks: what was asked in one turn of the loop goes in one write."""

    def __init__(self, port: int) -> None:
        import hiredis

        self._port = port
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            waiter = self._waiting.popleft()
            if isinstance(reply, Exception):
                waiter.set_exception(reply)
            else:
                waiter.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiter in self._waiting:
            waiter.set_exception(exc or ConnectionError("Redis closed the connection"))

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._loop.create_connection(lambda: self, HOST, self._port)
        await self._send(_encoded("SCRIPT", "LOAD", POST))

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Channels need no making."""

    def _send(self, command: bytes) -> asyncio.Future[int]:
        waiter = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        self._waiting.append(waiter)
        return waiter

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent))

    def _command(self, post: Post) -> bytes:
        return _encoded("EVALSHA", POST_SHA, KEY_COUNT, *_keys(post), post.body)

    async def post(self, post: Post) -> int:
        return await self._send(self._command(post))

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        return await asyncio.gather(*[self._send(self._command(post)) for post in posts])

    async def close(self) -> None:
        self._transport.close()
