"""gRPC's loop reads all its wake-ups in one turn, and nothing else gets another socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

from gapless_server.rpc.wake_ups import all_at_once

BEGIN_GRPC = """
import asyncio, gc, grpc.aio
from gapless_server.rpc import wake_ups

async def begin():
    with wake_ups.all_at_once():
        server = grpc.aio.server()
    return [one for one in gc.get_objects() if type(one) is wake_ups._Drained]

print(len(asyncio.run(begin())))
"""


def pair() -> tuple[socket.socket, socket.socket]:
    read_end, write_end = socket.socketpair()
    write_end.sendall(b"1" * 100)
    return read_end, write_end


def test_a_pair_that_is_made_within_reads_all_that_was_written() -> None:
    with all_at_once():
        read_end, write_end = pair()

    with read_end, write_end:
        assert read_end.recv(1) == b"1" * 100


def test_other_threads_and_whoever_comes_later_get_sockets_as_ever() -> None:
    elsewhere: list[tuple[socket.socket, socket.socket]] = []

    with all_at_once():
        thread = threading.Thread(target=lambda: elsewhere.append(pair()))
        thread.start()
        thread.join()
    elsewhere.append(pair())

    for read_end, write_end in elsewhere:
        with read_end, write_end:
            assert read_end.recv(1) == b"1"


def test_grpc_takes_such_a_socket_for_its_wake_ups() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN_GRPC], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["1"]
