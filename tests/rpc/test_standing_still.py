"""A client that asks for many pages and then stands still takes no memory of the service (G7)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gapless import Client
from gapless.testing import SubprocessServer
from tests.resident import resident_mib

# A page of them is 3 MiB, and all pages together 600 MiB.
MESSAGES, MESSAGE_BYTES = 800, 4000
PAGES = 200
# What is kept for one connection, and what else a service takes that makes pages.
GROWTH_MIB_MAX = 32 + 100
SECONDS_MAX = 60.0

# gRPC takes as much as its window allows, which is less than the kernel does: pings get through.
TAKES_NO_MORE = """
import asyncio, os, signal, sys
import grpc
from gapless.v1.messages_pb2 import ListMessagesRequest

async def main():
    channel = grpc.aio.insecure_channel(sys.argv[1])
    ask = channel.unary_unary("/gapless.v1.MessageService/ListMessages")
    request = ListMessagesRequest(channel_id="general", page_size=1000).SerializeToString()
    calls = [ask(request) for _ in range(int(sys.argv[2]))]
    await calls[0]
    os.kill(os.getpid(), signal.SIGSTOP)

asyncio.run(main())
"""

# HTTP/2 by hand, with a window without an end and a socket that nobody reads: what waits, waits in
# the service, and a ping behind it.
READS_NOTHING = """
import os, signal, socket, struct, sys
from gapless.v1.messages_pb2 import ListMessagesRequest

SETTINGS, WINDOW_UPDATE, HEADERS, DATA = 4, 8, 1, 0
INITIAL_WINDOW_SIZE, WINDOW_MAX = 4, 2**31 - 1

def frame(kind, flags, stream, data):
    return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream) + data

def text(value):
    return bytes([len(value)]) + value

host, port = sys.argv[1].rsplit(":", 1)
request = ListMessagesRequest(channel_id="general", page_size=1000).SerializeToString()
headers = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/gapless.v1.MessageService/ListMessages",
    ":authority": sys.argv[1],
    "content-type": "application/grpc",
    "te": "trailers",
}
block = b"".join(
    bytes(1) + text(name.encode()) + text(value.encode()) for name, value in headers.items()
)
sent = [
    b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n",
    frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW_MAX)),
    frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_MAX - 65_535)),
]
for call in range(int(sys.argv[2])):
    sent.append(frame(HEADERS, 4, 2 * call + 1, block))
    sent.append(frame(DATA, 1, 2 * call + 1, struct.pack(">BI", 0, len(request)) + request))
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
connection.connect((host, int(port)))
connection.sendall(b"".join(sent))
os.kill(os.getpid(), signal.SIGSTOP)
"""


def until_it_stands_still(client: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while Path(f"/proc/{client.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert client.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)  # real: it is another process


@contextmanager
def standing_still(script: str, address: str) -> Iterator[None]:
    client = subprocess.Popen([sys.executable, "-c", script, address, str(PAGES)])
    try:
        until_it_stands_still(client)
        yield
    finally:
        client.send_signal(signal.SIGKILL)
        client.wait()


def post_pages(client: Client) -> None:
    client.channels.create("general")
    for _ in range(MESSAGES):
        client.messages.post("general", "ada", os.urandom(MESSAGE_BYTES))


def test_g7_pages_for_a_client_that_stands_still_are_not_made(tmp_path: Path) -> None:
    with (
        SubprocessServer(directory=tmp_path, journal="memory") as server,
        Client(server.address) as other,
    ):
        post_pages(other)
        before = resident_mib(server.pid)
        with standing_still(TAKES_NO_MORE, server.address):
            # Calls of a method are taken in as they came: those of the other are all there then.
            for _ in range(PAGES):
                [first] = next(other.messages.list("general", page_size=1).pages())
        growth = resident_mib(server.pid) - before

        assert first.sequence == 1
        assert growth < GROWTH_MIB_MAX


@pytest.mark.parametrize(
    "script", [TAKES_NO_MORE, READS_NOTHING], ids=["takes_no_more", "reads_nothing"]
)
def test_g7_a_client_that_stands_still_gives_the_room_for_pages_back(
    tmp_path: Path, script: str
) -> None:
    one_page = 4 * 1024 * 1024
    with (
        SubprocessServer(
            directory=tmp_path,
            journal="memory",
            unsent_bytes_max=one_page,
            connection_unsent_bytes_max=one_page,
            ping_seconds=1,
            ping_timeout_seconds=1,
        ) as server,
        Client(server.address) as other,
    ):
        post_pages(other)
        with standing_still(script, server.address):
            # Those of the one who stands still wait in its line, and none of them ends by itself.
            for _ in range(PAGES):
                [first] = next(other.messages.list("general", page_size=1).pages())

            assert first.sequence == 1
