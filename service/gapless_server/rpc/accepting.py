"""Takes in calls that come at once, where gRPC's own server takes one after the other.

The server of grpc.aio waits for one call of a method at a time, or of all methods together if they
are not registered, and needs four turns of the event loop until it waits for the next. A burst
takes as many turns, and who comes after it waits for them, whatever it asks for: beside a flood of
streams that keeps each turn long, a call of another namespace was not looked at for half a minute.
So every method is registered, and is waited for many times at once.

For that it needs parts of gRPC that are not public. Where they are not as they are known here,
calls are taken in as gRPC does it, and all else is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # has no stubs

_log = structlog.get_logger()

# How often a method is waited for. Each takes some 2 KB; bench/README.md has what they give.
ACCEPTS: Final = 16

# Arguments of what is used of gRPC, by which a version is told that has it in this form.
_HANDLE_ARGUMENTS: Final = (
    "method_name", "method_resolver", "interceptors", "rpc_state", "loop", "concurrency_exceeded",
)  # fmt: skip
_SCHEDULE_ARGUMENTS: Final = ("rpc_coro", "rpc_state", "loop", "method_name")


@dataclass(frozen=True)
class _Details(grpc.HandlerCallDetails):
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: tuple[()] = ()


def _arguments(function: Any) -> tuple[str, ...]:
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


def is_known_grpc() -> bool:
    """Whether this version of gRPC has the parts in the form in which they are used here."""
    try:
        return (
            _arguments(cygrpc._handle_rpc) == _HANDLE_ARGUMENTS
            and _arguments(cygrpc._schedule_rpc_coro) == _SCHEDULE_ARGUMENTS
            and _arguments(cygrpc.AioServer._request_registered_call) == ("self", "method")
            and cygrpc._MethodResolver([], {}) is not None
            and issubclass(cygrpc._RequestCallError, Exception)
        )
    except (AttributeError, TypeError):
        return False


def _found(handlers: Iterable[grpc.GenericRpcHandler], path: str) -> Any:
    details = _Details(path)
    return next((found for one in handlers if (found := one.service(details)) is not None), None)


class Accepting:
    """Takes in the calls of some services of a server that has not been started."""

    def __init__(
        self,
        server: grpc.aio.Server,
        handlers: Iterable[grpc.GenericRpcHandler],
        services: Iterable[ServiceDescriptor],
    ) -> None:
        """Adds the handlers to the server; a method that none of them takes is not served."""
        handlers = list(handlers)
        server.add_generic_rpc_handlers(handlers)
        # The loop itself keeps tasks weakly only.
        self._tasks = set[asyncio.Task[None]]()
        self._methods: dict[str, Any] = {}
        if not is_known_grpc():
            return
        for service in services:
            paths = {one.name: f"/{service.full_name}/{one.name}" for one in service.methods}
            found = {
                name: handler
                for name, path in paths.items()
                if (handler := _found(handlers, path)) is not None
            }
            server.add_registered_method_handlers(service.full_name, found)
            self._methods |= {paths[name]: handler for name, handler in found.items()}
        untyped: Any = server
        self._core = untyped._server
        self._resolver = cygrpc._MethodResolver([], self._methods)

    @property
    def at_once(self) -> int:
        """How many calls of a method are taken in at once."""
        return ACCEPTS if self._methods else 1

    def start(self) -> None:
        """Waits for calls from now on, until the server is stopped; it must have been started."""
        self._loop = asyncio.get_running_loop()
        for path in self._methods:
            for _ in range(ACCEPTS):
                self._keep(self._take(path), f"accept {path}")

    def _keep(self, job: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(job, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, path: str) -> None:
        """Takes calls one after the other."""
        encoded = path.encode()
        while self._core.is_running():
            try:
                state = await self._core._request_registered_call(encoded)
            except cygrpc._RequestCallError:
                continue  # the server stops, or the call was gone before it was taken
            except Exception:
                # gRPC's own task goes on taking calls.
                _log.exception("accept_ended", method=path)
                return
            call = cygrpc._handle_rpc(path, self._resolver, (), state, self._loop, False)
            self._keep(cygrpc._schedule_rpc_coro(call, state, self._loop, path), "rpc_task")
