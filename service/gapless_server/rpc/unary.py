"""Binds the unary RPCs of every kind: a command goes to the writer, a query reads the state.

The service descriptors say which methods there are and the kernel which requests are commands, so
a new kind is bound without a line here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless.v1.commands_pb2 import Command
from gapless_server.core.kernel import Kernel
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.rpc.calls import CallScope, ServicerContext, scope_of
from gapless_server.rpc.parsing import command_parser, parse
from gapless_server.rpc.sizes import require_size
from gapless_server.rpc.status import abort
from gapless_server.writer.entries import Answer
from gapless_server.writer.namespaces import Namespaces
from gapless_server.writer.queue import Frame

UnaryHandler = Callable[[bytes, ServicerContext], Awaitable[bytes]]
# The two implementations of a service descriptor have no common base in their stubs.
AnyService = Any
RpcMethodHandler = Any  # generic in its stubs, not subscriptable at run time
# Answers a parsed request of a call with a message. Raises Refused.
Answering = Callable[[Any, CallScope], Awaitable[Message | Answer]]


def unary_handler(request_type: type[Message], answer: Answering) -> RpcMethodHandler:
    """Returns the handler of a method: parses, answers, and turns a refusal into a status."""
    return _handler(partial(parse, request_type), answer)


def _handler(parse_request: Callable[[bytes], Message], answer: Answering) -> RpcMethodHandler:
    async def handle(data: bytes, context: ServicerContext) -> bytes:
        try:
            response = await answer(parse_request(data), scope_of(context))
        except Refused as refusal:
            del data  # see abort
            await abort(context, refusal)
        return response.response if isinstance(response, Answer) else response.SerializeToString()

    return grpc.unary_unary_rpc_method_handler(handle)


async def execute(namespaces: Namespaces, command: Command, scope: CallScope) -> Answer:
    """Runs one command and returns its answer. Raises Refused."""
    size_bytes = command.ByteSize()
    require_size(namespaces.kernel, command, size_bytes)
    namespaces.require_creatable(scope.namespace)
    async with namespaces.use(scope.namespace) as namespace:
        # If it has to wait for something, it keeps nobody waiting but its own caller.
        frame = Frame([command], scope.caller, size_bytes, may_wait=True)
        namespace.submit(frame)
        # A caller that gives up cancels this future only: a frame whose round has begun is run.
        [outcome] = await frame.outcomes
    if isinstance(outcome, Refused):
        raise outcome
    assert isinstance(outcome, Answer)  # a run is decided of what was found in a frame
    return outcome


def _query_answer(namespaces: Namespaces, limits: PageLimits) -> Answering:
    kernel = namespaces.kernel

    async def answer(request: Message, scope: CallScope) -> Message:
        async with namespaces.use(scope.namespace) as namespace:
            if scope.min_position:
                await namespace.reached(scope.min_position)
            if type(request) in kernel.stepped_queries:
                return await namespace.read_in_steps(
                    lambda state: kernel.query_in_steps(state, request, limits, namespace.now())
                )
            return await namespace.read(
                lambda state: kernel.query(state, request, limits, namespace.now())
            )

    return answer


def kind_services(kernel: Kernel) -> list[AnyService]:
    """Returns the services of the files whose requests some kind takes, in the order of names."""
    requests = [*kernel.command_fields, *kernel.queries]
    files = {request.DESCRIPTOR.file.name: request.DESCRIPTOR.file for request in requests}
    services = [service for file in files.values() for service in file.services_by_name.values()]
    return sorted(services, key=lambda service: str(service.full_name))


def kind_handlers(namespaces: Namespaces, limits: PageLimits) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers of every kind's services, whose methods are commands or queries."""
    kernel = namespaces.kernel
    query: Answering = _query_answer(namespaces, limits)
    run: Answering = partial(execute, namespaces)

    def handler(method: MethodDescriptor) -> RpcMethodHandler:
        request_type = GetMessageClass(method.input_type)
        field = kernel.command_fields.get(request_type)
        if field is not None:
            return _handler(command_parser(request_type, field), run)
        if request_type not in kernel.queries:
            raise LookupError(f"{method.full_name}: no kind has this command or query")
        return unary_handler(request_type, query)

    return [
        grpc.method_handlers_generic_handler(
            service.full_name, {method.name: handler(method) for method in service.methods}
        )
        for service in kind_services(kernel)
    ]
