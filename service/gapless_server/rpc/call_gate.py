"""Limits how many unary calls are under way at once: each takes memory until it is answered.

Commands that wait are bounded by their queue; reads that wait for a commit, or for a position that
the log has not come to, are by nothing else.
"""

from __future__ import annotations

from typing import Any

import grpc

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import ServicerContext
from gapless_server.rpc.status import abort


class CallGate:
    """What every unary call of a service goes through."""

    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._under_way = 0

    def around(self, handler: Any) -> Any:
        """Returns the handler of a unary method that refuses calls past the limit."""
        answer = handler.unary_unary

        async def handle(data: bytes, context: ServicerContext) -> bytes:
            if self._under_way >= self._calls_max:
                del data  # see abort
                await abort(context, self._refusal())
            self._under_way += 1
            try:
                response: bytes = await answer(data, context)
                return response
            finally:
                self._under_way -= 1

        return grpc.unary_unary_rpc_method_handler(handle)

    def _refusal(self) -> Refused:
        return Refused(
            errors_pb2.ERROR_REASON_TOO_MANY_CALLS,
            retry_after_seconds=1.0,
            calls_max=self._calls_max,
        )


class Gated(grpc.GenericRpcHandler):
    """Handlers of which those of unary methods stand behind a gate."""

    def __init__(self, handlers: grpc.GenericRpcHandler, gate: CallGate) -> None:
        self._handlers = handlers
        self._gate = gate
        # By method: without registered methods, gRPC asks anew for every call.
        self._gated: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns the handler of the method of a call; None if it is none of these."""
        method = handler_call_details.method
        if (gated := self._gated.get(method)) is not None:
            return gated
        found: Any = self._handlers.service(handler_call_details)
        if found is None or found.unary_unary is None:
            return found
        gated = self._gated[method] = self._gate.around(found)
        return gated
