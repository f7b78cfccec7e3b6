"""A program that uses a client, forks, and tells what the child saw; run by test_forks.

Arguments: the colour, or `opening`, and the address of a service.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable

from gapless import AsyncClient, Client, GaplessError
from gapless._options import ConnectionOptions
from gapless._sync._connection import Connection
from gapless._sync._transport import Channel, open_channel
from gapless.v1 import channels_pb2
from gapless.v1.messages_pb2 import PostMessageResponse

Told = dict[str, object]


def error_of(call: Callable[[], object]) -> str:
    try:
        call()
    except GaplessError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def run_in_child(see: Callable[[], Told]) -> Told:
    """What `see` returns in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(see()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told: Told = json.loads(pipe.read())
    os.waitpid(child, 0)
    return told


def fresh_sequence(address: str) -> int:
    with Client(address, namespace="forks") as fresh:
        return fresh.messages.post("general", "child", "new client").sequence


def blocking(address: str) -> Told:
    with Client(address, namespace="forks") as client:
        client.channels.create("general")

        def see() -> Told:
            command = error_of(lambda: client.messages.post("general", "child", "old client"))
            read = error_of(lambda: client.channels.get("general"))
            client.close()
            return {"command": command, "read": read, "fresh": fresh_sequence(address)}

        told = run_in_child(see)
        told["parent"] = client.messages.post("general", "parent", "as before").sequence
    return told


def opening(address: str) -> Told:
    """A child that begins while another thread opens the client's channel, and holds its lock."""
    begun, forked = threading.Event(), threading.Event()

    def opener(options: ConnectionOptions) -> Channel:
        begun.set()
        forked.wait(30.0)
        return open_channel(options)

    connection = Connection(ConnectionOptions(address, None, {}), opener)
    thread = threading.Thread(target=connection.channel)
    thread.start()
    begun.wait(30.0)

    def see() -> Told:
        command = error_of(connection.channel)
        connection.close()
        return {"command": command, "closed": True}

    told = run_in_child(see)
    forked.set()
    thread.join()
    connection.close()
    return told


async def on_asyncio(address: str) -> Told:
    async with AsyncClient(address, namespace="forks") as client:
        await client.channels.create("general")

        def see() -> Told:
            return {
                "command": error_of(lambda: asyncio.run(post(client))),
                "read": error_of(lambda: asyncio.run(get(client))),
                "fresh": error_of(lambda: asyncio.run(get(AsyncClient(address)))),
            }

        told = run_in_child(see)
        told["parent"] = (await post(client)).sequence
    return told


async def post(client: AsyncClient) -> PostMessageResponse:
    return await client.messages.post("general", "alice", "hello")


async def get(client: AsyncClient) -> channels_pb2.Channel:
    return await client.channels.get("general")


if __name__ == "__main__":
    _, chosen, service = sys.argv
    if chosen == "async":
        told = asyncio.run(on_asyncio(service))
    else:
        told = {"blocking": blocking, "opening": opening}[chosen](service)
    sys.stdout.write(json.dumps(told))
