"""Bounds the pages that were made for clients who have not taken them yet.

gRPC keeps a response until the network takes it, and that is as slow as the client: one that asks
for a thousand pages at once and then stands still would have three gigabytes of them kept for it.
So a page is made only once there is room for one, for its connection and for all of them together.
What a connection has is freed when it ends, and gRPC ends one that stands still for it, after
`ping_seconds` and `ping_timeout_seconds`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import ServicerContext, at_end_of

# Who waits longer for room is refused: that of one who stands still comes back much later.
WAIT_SECONDS_MAX: Final = 10.0


class Charge:
    """What one page takes of the room: at first what it may take at most, then what it takes."""

    __slots__ = ("_connection", "_size_bytes", "_unsent")

    def __init__(self, unsent: Unsent, connection: str, size_bytes: int) -> None:
        self._unsent = unsent
        self._connection = connection
        self._size_bytes = size_bytes

    def settle(self, size_bytes: int) -> None:
        """Says how large the page is; 0 once it is sent, or will never be."""
        self._unsent.change(self._connection, size_bytes - self._size_bytes)
        self._size_bytes = size_bytes


class Unsent:
    """The bytes of pages that were made or are being made, and not sent, by connection."""

    def __init__(self, bytes_max: int, connection_bytes_max: int, page_bytes_max: int) -> None:
        """A page has `page_bytes_max` at most."""
        self._page_bytes_max = page_bytes_max
        self._bytes_max = bytes_max
        self._connection_bytes_max = connection_bytes_max
        self._bytes = 0
        self._by_connection: dict[str, int] = {}
        # In the order in which they came, by connection: one that stands still holds up no other.
        self._waiting: dict[str, OrderedDict[asyncio.Future[None], None]] = {}

    async def charge(self, context: ServicerContext) -> Charge:
        """Returns the charge of one page once there is room; it ends with the call.

        Raises Refused, reason TOO_MUCH_UNSENT.
        """
        connection = context.peer()
        if connection in self._waiting or not self._has_room(connection):
            await self._wait(connection)
        else:
            self.change(connection, self._page_bytes_max)
        charge = Charge(self, connection, self._page_bytes_max)
        at_end_of(context, lambda: charge.settle(0))
        return charge

    def change(self, connection: str, size_bytes: int) -> None:
        """Adds to what a connection has, or takes from it; then others may have room."""
        self._bytes += size_bytes
        left = self._by_connection.get(connection, 0) + size_bytes
        if left:
            self._by_connection[connection] = left
        else:
            self._by_connection.pop(connection, None)
        if size_bytes < 0 and self._waiting:
            self._let_in()

    def _has_room(self, connection: str) -> bool:
        of_connection = self._by_connection.get(connection, 0)
        return (
            self._bytes + self._page_bytes_max <= self._bytes_max
            and of_connection + self._page_bytes_max <= self._connection_bytes_max
        )

    async def _wait(self, connection: str) -> None:
        """Returns once the room for a page is taken."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(connection, OrderedDict())[place] = None
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                # It was let in when it was about to go.
                self.change(connection, -self._page_bytes_max)
            else:
                self._leave(connection, place)
            if isinstance(error, TimeoutError):
                raise self._refusal(connection) from None
            raise

    def _leave(self, connection: str, place: asyncio.Future[None]) -> None:
        line = self._waiting.get(connection, OrderedDict())
        line.pop(place, None)
        if not line:
            self._waiting.pop(connection, None)

    def _let_in(self) -> None:
        for connection, line in list(self._waiting.items()):
            while line and self._has_room(connection):
                place, _ = line.popitem(last=False)
                if not place.done():
                    self.change(connection, self._page_bytes_max)
                    place.set_result(None)
            if not line:
                del self._waiting[connection]

    def _refusal(self, connection: str) -> Refused:
        of_connection = self._by_connection.get(connection, 0)
        is_its_own = of_connection + self._page_bytes_max > self._connection_bytes_max
        return Refused(
            errors_pb2.ERROR_REASON_TOO_MUCH_UNSENT,
            retry_after_seconds=1.0,
            limit="connection_unsent_bytes_max" if is_its_own else "unsent_bytes_max",
            bytes_max=self._connection_bytes_max if is_its_own else self._bytes_max,
        )
