"""Calls that come at once are taken in at once, whatever else keeps the event loop busy."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Self

import grpc
import pytest
from grpc._cython import cygrpc

from gapless.testing import InProcessServer
from gapless.v1.operations_pb2 import GetServerInfoRequest, GetServerInfoResponse
from gapless_server.rpc.accepting import ACCEPTS, is_known_grpc
from gapless_server.server import Server
from gapless_server.settings import Settings
from tests.rpc.wire import Wire, open_wire

CALLS = 4 * ACCEPTS
# So long that what comes between two turns is there in the next.
TURN_SECONDS = 0.02

known_grpc_only = pytest.mark.skipif(
    not is_known_grpc(),
    reason=f"gRPC {grpc.__version__} has not the parts that are needed: it takes calls one by one",
)


class BusyLoop:
    """Makes each turn of a service's loop a long one, and counts them."""

    def __init__(self, server: InProcessServer) -> None:
        assert server._loop is not None
        self._loop = server._loop
        self._is_over = False
        self.turns = 0

    async def __aenter__(self) -> Self:
        self._loop.call_soon_threadsafe(self._turn)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._is_over = True

    def _turn(self) -> None:
        self.turns += 1
        time.sleep(TURN_SECONDS)  # a long turn
        if not self._is_over:
            self._loop.call_soon(self._turn)


async def ask(wire: Wire) -> None:
    await wire.call(
        "OperationsService/GetServerInfo", GetServerInfoRequest(), GetServerInfoResponse
    )


@known_grpc_only
async def test_g7_a_burst_of_calls_takes_fewer_turns_of_the_loop_than_it_has_calls(
    wire: Wire, gapless_server: InProcessServer
) -> None:
    await ask(wire)

    async with BusyLoop(gapless_server) as busy:
        await asyncio.gather(*(ask(wire) for _ in range(CALLS)))

    assert busy.turns < CALLS


async def test_nothing_waits_for_calls_once_the_service_has_stopped(tmp_path: Path) -> None:
    def accepts() -> int:
        return sum(task.get_name().startswith("accept ") for task in asyncio.all_tasks())

    server = Server(Settings(data=tmp_path, port=0))
    await server.start()
    async for wire in open_wire(server.address, "accepting"):
        await ask(wire)
    assert accepts() % ACCEPTS == 0

    await server.stop()

    assert accepts() == 0


async def test_a_version_of_grpc_that_is_not_known_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handle = cygrpc._handle_rpc
    monkeypatch.setattr(cygrpc, "_handle_rpc", lambda *others: handle(*others))
    assert not is_known_grpc()

    with InProcessServer(directory=tmp_path) as server:
        async for wire in open_wire(server.address, "accepting"):
            await asyncio.gather(*(ask(wire) for _ in range(CALLS)))
