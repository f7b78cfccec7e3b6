"""Bounds what unary calls take of memory: how many are under way, and the pages they are sent.

Commands that wait are bounded by their queue; reads that wait for a commit, or for a position that
the log has not come to, are by nothing else. A call with a large response is under way until that
is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import ServicerContext, at_end_of
from gapless_server.rpc.status import abort
from gapless_server.rpc.unsent import Unsent

# From so many bytes on it matters that a response is not sent yet. gRPC takes 30 us to say so.
LARGE_BYTES: Final = 16 * 1024


def paths_with_pages(services: Iterable[ServiceDescriptor]) -> frozenset[str]:
    """Returns the paths of the methods whose responses may be much larger than their requests."""
    return frozenset(
        f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        # What became of a request may be a batch of a thousand commands.
        if "page_size" in method.input_type.fields_by_name or method.name == "GetRequest"
    )


class CallGate:
    """What every unary call of a service goes through."""

    def __init__(self, calls_max: int, unsent: Unsent) -> None:
        self._calls_max = calls_max
        self._unsent = unsent
        self._under_way = 0

    def around(self, handler: Any, *, has_pages: bool) -> Any:
        """Returns the handler of a unary method that refuses what there is no room for."""
        answer = handler.unary_unary

        async def handle(data: bytes, context: ServicerContext) -> bytes:
            if self._under_way >= self._calls_max:
                del data  # see abort
                await abort(context, self._refusal())
            is_sent_later = False
            self._under_way += 1
            try:
                try:
                    charge = await self._unsent.charge(context) if has_pages else None
                except Refused as refusal:
                    del data  # see abort
                    await abort(context, refusal)
                answering = answer(data, context)
                del data  # see abort
                response: bytes = await answering
                if charge is not None:
                    charge.settle(len(response))
                if len(response) >= LARGE_BYTES:
                    is_sent_later = True
                    at_end_of(context, self._ended)
                return response
            finally:
                if not is_sent_later:
                    self._under_way -= 1

        return grpc.unary_unary_rpc_method_handler(handle)

    def _refusal(self) -> Refused:
        return Refused(
            errors_pb2.ERROR_REASON_TOO_MANY_CALLS,
            retry_after_seconds=1.0,
            calls_max=self._calls_max,
        )

    def _ended(self) -> None:
        self._under_way -= 1


class Gated(grpc.GenericRpcHandler):
    """Handlers of which those of unary methods stand behind a gate."""

    def __init__(
        self, handlers: grpc.GenericRpcHandler, gate: CallGate, with_pages: frozenset[str]
    ) -> None:
        """`with_pages` are the paths of the methods that answer pages."""
        self._handlers = handlers
        self._gate = gate
        self._with_pages = with_pages
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
        gated = self._gated[method] = self._gate.around(found, has_pages=method in self._with_pages)
        return gated
