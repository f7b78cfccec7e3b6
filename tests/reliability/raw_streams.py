"""HTTP/2 frames made by hand, for what no gRPC client does: streams that are reset at once."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _END_HEADERS = 1, 4
_CANCEL: Final = struct.pack(">I", 8)
# Closing sends a TCP RST, and what lies in the socket's buffers is lost.
_LINGER_0: Final = struct.pack("ii", 1, 0)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name: str, value: str) -> bytes:
    """A header that goes into no table; short enough for a length in one byte."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class RawConnection:
    """A connection to the service; nothing that comes back is looked at."""

    def __init__(self, address: str, namespace: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._common = b"".join(
            [
                _header(":method", "POST"),
                _header(":scheme", "http"),
                _header(":authority", address),
                _header("te", "trailers"),
                _header("content-type", "application/grpc"),
                _header("gapless-namespace", namespace),
            ]
        )
        self._next_stream = 1
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        # Settings of the server come first; ours are the defaults, and theirs are acknowledged.
        await self._reader.readexactly(9)
        self._writer.write(_PREFACE + _frame(_SETTINGS, 0, 0) + _frame(_SETTINGS, 1, 0))

    def call(self, path: str, request: bytes, *, reset: bool, whole: bool = True) -> None:
        """Calls a method; resets the stream at once if so told; leaves the request out if not
        whole."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        frames = _frame(_HEADERS, _END_HEADERS, stream, _header(":path", path) + self._common)
        if whole:
            message = struct.pack(">BI", 0, len(request)) + request
            frames += _frame(_DATA, _END_STREAM, stream, message)
        if reset:
            frames += _frame(_RST_STREAM, 0, stream, _CANCEL)
        self._writer.write(frames)

    async def sent(self) -> None:
        """Returns once the bytes have gone to the system."""
        await self._writer.drain()

    async def end(self, *, reset: bool) -> None:
        """Closes the connection: with a TCP RST, or in order once the service has closed too."""
        try:
            if reset:
                connection = self._writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            else:
                self._writer.write_eof()
                while await self._reader.read(65_536):
                    pass
        except OSError:
            pass  # the service was quicker
        finally:
            self._writer.close()
