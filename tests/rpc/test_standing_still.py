"""A client that asks for many pages and then stands still takes no memory of the service (G7)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gapless import Client
from gapless.testing import SubprocessServer
from tests.resident import resident_mib

# A page of them is 3 MiB, and all pages together 600 MiB.
MESSAGES, MESSAGE_BYTES = 800, 4000
PAGES = 200
# What is kept for one connection, and what else a service takes that makes pages.
GROWTH_MIB_MAX = 32 + 100
SECONDS_MAX = 60.0

CLIENT = """
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


def until_it_stands_still(client: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while Path(f"/proc/{client.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert client.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)  # real: it is another process


def test_g7_pages_for_a_client_that_stands_still_are_not_made(tmp_path: Path) -> None:
    with (
        SubprocessServer(directory=tmp_path, journal="memory") as server,
        Client(server.address) as other,
    ):
        other.channels.create("general")
        for _ in range(MESSAGES):
            other.messages.post("general", "ada", os.urandom(MESSAGE_BYTES))
        before = resident_mib(server.pid)
        client = subprocess.Popen([sys.executable, "-c", CLIENT, server.address, str(PAGES)])
        try:
            until_it_stands_still(client)
            # Calls of a method are taken in as they came: those of the other are all there then.
            for _ in range(PAGES):
                [first] = next(other.messages.list("general", page_size=1).pages())
        finally:
            client.send_signal(signal.SIGKILL)
            client.wait()
        growth = resident_mib(server.pid) - before

        assert first.sequence == 1
        assert growth < GROWTH_MIB_MAX
