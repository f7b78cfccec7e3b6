"""A proxy between a client and the service that keeps what is in flight until it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 65_536


class Direction:
    """One way through the proxy."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._arrived = asyncio.Event()

    def hold(self) -> None:
        """Keeps what arrives from now on."""
        self._open.clear()
        self._arrived.clear()

    def release(self) -> None:
        """Sends on what was kept, and all that comes."""
        self._open.set()

    async def something_is_held(self) -> None:
        """Returns once something has arrived that is kept."""
        await self._arrived.wait()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries bytes until one end is gone."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                if not self._open.is_set():
                    self._arrived.set()
                    await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            # One end was killed: the other one learns of it below.
            pass
        finally:
            writer.close()


class DelayingProxy:
    """Listens on a port of its own; both directions are open at first."""

    def __init__(self, server_address: str) -> None:
        self._host, _, port = server_address.rpartition(":")
        self._port = int(port)
        self.to_server = Direction()
        self.to_client = Direction()
        self.address = ""
        self._carriers: set[asyncio.Task[None]] = set()

    async def start(self) -> asyncio.Server:
        """Begins to listen."""
        server = await asyncio.start_server(self._connect, self._host, 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return server

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        ways = (
            self.to_server.carry(reader, server_writer),
            self.to_client.carry(server_reader, writer),
        )
        for way in ways:
            carrier = asyncio.create_task(way)
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)

    async def all_carried(self) -> None:
        """Returns once every connection has ended and what came over it has been sent on."""
        if self._carriers:
            await asyncio.wait(self._carriers)

    async def stop(self) -> None:
        """Breaks all connections off."""
        for carrier in tuple(self._carriers):
            carrier.cancel()
        await self.all_carried()


@asynccontextmanager
async def delaying_proxy(server_address: str) -> AsyncIterator[DelayingProxy]:
    """Gives a proxy before a server."""
    proxy = DelayingProxy(server_address)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()
