"""A fault of the service in a call is found in its log, and is no answer."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from gapless.v1.operations_pb2 import GetServerInfoRequest
from gapless_server.rpc.unary import unary_handler


async def broken(_request: Any, _scope: Any) -> Any:
    raise KeyError("a row that must be there")


async def test_a_fault_in_a_call_is_in_the_log_and_the_outcome_is_not_known() -> None:
    server = grpc.aio.server()
    methods = {"Break": unary_handler(GetServerInfoRequest, broken)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Faults", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with capture_logs() as lines, pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Faults/Break")(b"")
    await server.stop(None)

    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert [(line["event"], line["exc_info"]) for line in lines] == [("call_fault", True)]
