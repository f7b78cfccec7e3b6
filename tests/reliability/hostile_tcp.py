"""A proxy for bytes that cuts, resets, half-closes, holds and swallows, as chance has it."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

_CHUNK_BYTES: Final = 65_536
# Closing sends a TCP RST.
_LINGER_0: Final = struct.pack("ii", 1, 0)
_HELD_SECONDS_MAX: Final = 0.1

FAULTS: Final = (
    "connections_closed", "connections_reset", "half_closed_to_service", "half_closed_to_client",
    "requests_swallowed", "answers_swallowed", "held_up",
)  # fmt: skip


class _Connection:
    """One connection through the proxy, with one fault after so many bytes."""

    def __init__(self, proxy: HostileTcpProxy, client: _End, service: _End) -> None:
        self._proxy = proxy
        self._client = client
        self._service = service
        self._swallowing: set[_End] = set()
        self._free = asyncio.Event()
        self._free.set()
        self._plan()

    def _plan(self) -> None:
        self._bytes_left = self._proxy.bytes_to_fault()

    async def run(self) -> None:
        """Carries until the connection is over."""
        ways = [
            asyncio.create_task(self._carry(self._client, self._service)),
            asyncio.create_task(self._carry(self._service, self._client)),
        ]
        try:
            await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._client.close()
            self._service.close()

    async def _carry(self, source: _End, target: _End) -> None:
        with suppress(OSError):
            while data := await source.reader.read(_CHUNK_BYTES):
                await self._free.wait()
                if target in self._swallowing:
                    continue
                if self._bytes_left < len(data):
                    kept = data[: int(self._bytes_left)]
                    await target.send(kept)
                    data = data[len(kept) :]
                    await self._fault()
                    if target in self._swallowing:
                        continue
                self._bytes_left -= len(data)
                await target.send(data)
        with suppress(OSError):
            target.half_close()

    async def _fault(self) -> None:
        fault = self._proxy.chance.choice(FAULTS)
        self._proxy.faults[fault] += 1
        self._plan()
        match fault:
            case "connections_closed":
                self._client.close()
                self._service.close()
            case "connections_reset":
                self._client.reset()
                self._service.reset()
            case "half_closed_to_service":
                self._service.half_close()
                self._swallowing.add(self._service)
            case "half_closed_to_client":
                self._client.half_close()
                self._swallowing.add(self._client)
            case "held_up":
                self._free.clear()
                await self._moment()
                self._free.set()
            case "requests_swallowed":
                await self._swallow(self._service)
            case "answers_swallowed":
                await self._swallow(self._client)

    async def _swallow(self, target: _End) -> None:
        """Lets nothing more reach one end; after a moment both learn that it is over."""
        self._swallowing.add(target)

        async def reset() -> None:
            await self._moment()
            self._client.reset()
            self._service.reset()

        self._proxy.keep(asyncio.create_task(reset()))

    async def _moment(self) -> None:
        # The delay is the fault.
        await asyncio.sleep(self._proxy.chance.uniform(0, _HELD_SECONDS_MAX))


class _End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def half_close(self) -> None:
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()

    def reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        if connection is not None and not self._writer.is_closing():
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()

    async def gone(self) -> None:
        """Ends it at once, and returns when nothing of it is left."""
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


class HostileTcpProxy:
    """Listens on a port of its own; counts its faults."""

    def __init__(self, server_address: str, chance: random.Random, fault_bytes: float) -> None:
        """A fault comes after so many bytes of a connection, on average."""
        self.chance = chance
        self.faults: Counter[str] = Counter()
        self.address = ""
        self._host, _, port = server_address.rpartition(":")
        self._port = int(port)
        self._fault_bytes = fault_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[_End] = []

    def bytes_to_fault(self) -> float:
        """How many bytes go over a connection before its next fault."""
        return self.chance.expovariate(1 / self._fault_bytes)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keeps a task until it has ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, self._host, 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return server

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _End(reader, writer)
        self._ends.append(client)
        self.keep(asyncio.create_task(self._connect(client)))

    async def _connect(self, client: _End) -> None:
        try:
            service = _End(*await asyncio.open_connection(self._host, self._port))
        except OSError:
            client.close()  # the service is down, and so is the way to it
            return
        self._ends.append(service)
        await _Connection(self, client, service).run()

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for end in self._ends:
            await end.gone()


@asynccontextmanager
async def hostile_tcp_proxy(
    server_address: str, chance: random.Random, fault_bytes: float
) -> AsyncIterator[HostileTcpProxy]:
    """Gives a proxy before a server."""
    proxy = HostileTcpProxy(server_address, chance, fault_bytes)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
