"""Binds the unary RPCs of every kind: a command goes to the writer, a query reads the state.

The service descriptors say which methods there are and the kernel which requests are commands, so
a new kind is bound without a line here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless.v1.commands_pb2 import Command
from gapless_server.core.kernel import Kernel
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import CallScope, ServicerContext, scope_of
from gapless_server.rpc.frames import TakeCall, call_taker
from gapless_server.rpc.parsing import parse
from gapless_server.rpc.sizes import require_few_fields, require_size
from gapless_server.rpc.status import abort
from gapless_server.writer.entries import Answer
from gapless_server.writer.namespaces import Namespaces
from gapless_server.writer.queue import Frame

_log = structlog.get_logger()

UnaryHandler = Callable[[bytes, ServicerContext], Awaitable[bytes]]
# The two implementations of a service descriptor have no common base in their stubs.
AnyService = Any
RpcMethodHandler = Any  # generic in its stubs, not subscriptable at run time
# Answers a parsed request of a call with a message. Raises Refused.
Answering = Callable[[Any, CallScope], Awaitable[Message | Answer]]
# Answers the bytes of a request in the scope of a call with those of the response, at once if
# nothing has to be waited for. Raises Refused.
AnsweringBytes = Callable[[bytes, CallScope], bytes | Awaitable[bytes]]


def unary_handler(request_type: type[Message], answer: Answering) -> RpcMethodHandler:
    """Returns the handler of a method: parses, answers, and turns a refusal into a status."""

    async def answer_bytes(data: bytes, scope: CallScope) -> bytes:
        require_few_fields(request_type, data)
        response = await answer(parse(request_type, data), scope)
        return response.response if isinstance(response, Answer) else response.SerializeToString()

    return _handler(answer_bytes)


def _handler(answer: AnsweringBytes) -> RpcMethodHandler:
    async def handle(data: bytes, context: ServicerContext) -> bytes:
        try:
            response = answer(data, scope_of(context))
            return response if isinstance(response, bytes) else await response
        except Refused as refusal:
            del data  # see abort
            await abort(context, refusal)
        except Exception:
            # gRPC ends the call with UNKNOWN, which is true: a command may have been done. What it
            # says of it itself, it says where nobody looks.
            _log.exception("call_fault")
            raise

    return grpc.unary_unary_rpc_method_handler(handle)


async def execute(namespaces: Namespaces, command: Command, scope: CallScope) -> Answer:
    """Runs one command and returns its answer. Raises Refused."""
    size_bytes = command.ByteSize()
    require_size(namespaces.kernel, command, size_bytes)
    # If it has to wait for something, it keeps nobody waiting but its own caller.
    return await _run(namespaces, Frame([command], scope.caller, size_bytes, may_wait=True), scope)


async def _run(namespaces: Namespaces, frame: Frame, scope: CallScope) -> Answer:
    """Runs the one command of a frame."""
    name = scope.namespace
    namespaces.require_creatable(name)
    with namespaces.opened(name) or await namespaces.open(name) as namespace:
        namespace.submit(frame)
        # A caller that gives up cancels this future only: a frame whose round has begun is run.
        [outcome] = await frame.outcomes
    if isinstance(outcome, Refused):
        raise outcome
    assert isinstance(outcome, Answer)  # not those of a run: it is one command
    return outcome


def _command_answer(namespaces: Namespaces, take: TakeCall) -> AnsweringBytes:
    async def answer(data: bytes, scope: CallScope) -> bytes:
        return (await _run(namespaces, take(data, scope.caller), scope)).response

    return answer


def _query_answer(
    namespaces: Namespaces, limits: PageLimits, request_type: type[Message]
) -> AnsweringBytes:
    ask = namespaces.kernel.ask(request_type, limits)

    def answer(data: bytes, scope: CallScope) -> bytes | Awaitable[bytes]:
        request = parse(request_type, data)
        slot = namespaces.opened(scope.namespace)
        if slot is not None:
            namespace = slot.used()
            if scope.min_position <= namespace.head.position and namespace.reads_at_once():
                # As nearly always: nothing is set up for what would have to wait.
                return namespace.answer(lambda state: ask(state, request, namespace.now))
        return wait(request, scope)

    async def wait(request: Message, scope: CallScope) -> bytes:
        async with namespaces.use(scope.namespace) as namespace:
            await namespace.reached(scope.min_position)
            return await namespace.read(lambda state: ask(state, request, namespace.now))

    return answer


def _stepped_query_answer(
    namespaces: Namespaces, limits: PageLimits, request_type: type[Message]
) -> AnsweringBytes:
    kernel = namespaces.kernel

    async def answer(data: bytes, scope: CallScope) -> bytes:
        request = parse(request_type, data)
        async with namespaces.use(scope.namespace) as namespace:
            await namespace.reached(scope.min_position)
            response = await namespace.read_in_steps(
                lambda state: kernel.query_in_steps(state, request, limits, namespace.now())
            )
            return response.SerializeToString()

    return answer


def kind_services(kernel: Kernel) -> list[AnyService]:
    """Returns the services of the files whose requests some kind takes, in the order of names."""
    requests = [*kernel.command_fields, *kernel.queries]
    files = {request.DESCRIPTOR.file.name: request.DESCRIPTOR.file for request in requests}
    services = [service for file in files.values() for service in file.services_by_name.values()]
    return sorted(services, key=lambda service: str(service.full_name))


class _Methods(grpc.GenericRpcHandler):
    """Handlers of many services in one: gRPC asks a handler of each after the other otherwise."""

    def __init__(self, handlers: Mapping[str, RpcMethodHandler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> RpcMethodHandler | None:
        """Returns the handler of the method of a call."""
        return self._handlers.get(handler_call_details.method)


def kind_handlers(namespaces: Namespaces, limits: PageLimits) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers of every kind's services, whose methods are commands or queries."""
    kernel = namespaces.kernel

    def answering(method: MethodDescriptor) -> AnsweringBytes:
        request_type = GetMessageClass(method.input_type)
        field = kernel.command_fields.get(request_type)
        if field is not None:
            return _command_answer(namespaces, call_taker(kernel, request_type, field))
        if request_type in kernel.stepped_queries:
            return _stepped_query_answer(namespaces, limits, request_type)
        if request_type not in kernel.queries:
            raise LookupError(f"{method.full_name}: no kind has this command or query")
        return _query_answer(namespaces, limits, request_type)

    handlers = {
        f"/{service.full_name}/{method.name}": _handler(answering(method))
        for service in kind_services(kernel)
        for method in service.methods
    }
    return [_Methods(handlers)]
