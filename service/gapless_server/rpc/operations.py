"""OperationsService: what the service and its namespaces are like right now."""

from __future__ import annotations

from bisect import bisect_right

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.operations_pb2 import (
    DESCRIPTOR,
    GetNamespaceRequest,
    GetNamespaceResponse,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
)
from gapless_server.core.paging import PageLimits, make_token, page_items, read_token
from gapless_server.core.refusals import Refused
from gapless_server.core.times import optional_timestamp, to_timestamp
from gapless_server.rpc.backups import BackupServicer
from gapless_server.rpc.calls import CallScope
from gapless_server.rpc.loop_gauge import LoopGauge
from gapless_server.rpc.unary import unary_handler
from gapless_server.writer.clock import Clock
from gapless_server.writer.namespaces import Namespaces

SERVICE = DESCRIPTOR.services_by_name["OperationsService"]


class OperationsServicer:
    """Answers OperationsService."""

    def __init__(
        self,
        namespaces: Namespaces,
        clock: Clock,
        pages: PageLimits,
        version: str,
        backup_streams_max: int,
        gauge: LoopGauge,
    ) -> None:
        self._namespaces = namespaces
        self._pages = pages
        self._version = version
        self._gauge = gauge
        self._start_time_us = clock.now_us()
        self._backups = BackupServicer(namespaces, clock, version, backup_streams_max)

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the handlers of the service."""
        return grpc.method_handlers_generic_handler(
            SERVICE.full_name,
            {
                "GetServerInfo": unary_handler(GetServerInfoRequest, self._server_info),
                "ListNamespaces": unary_handler(ListNamespacesRequest, self._list_namespaces),
                "GetNamespace": unary_handler(GetNamespaceRequest, self._namespace),
                "BackupNamespace": grpc.unary_stream_rpc_method_handler(self._backups.stream),
            },
        )

    async def _server_info(self, _request: Message, _scope: CallScope) -> Message:
        longest_pause = Duration()
        longest_pause.FromNanoseconds(round(self._gauge.longest_seconds * 1e9))
        return GetServerInfoResponse(
            version=self._version,
            journal=self._namespaces.store.name,
            journal_version=self._namespaces.store.version,
            start_time=to_timestamp(self._start_time_us),
            open_namespace_count=self._namespaces.open_count,
            longest_pause=longest_pause,
        )

    async def _list_namespaces(self, request: Message, _scope: CallScope) -> Message:
        assert isinstance(request, ListNamespacesRequest)
        self._namespaces.kernel.validator.check(request)
        names = self._namespaces.store.namespaces()
        after = read_token(request, str)
        first = 0 if after is None else bisect_right(names, after)
        page = names[first : first + page_items(request.page_size, self._pages)]
        more = first + len(page) < len(names)
        return ListNamespacesResponse(
            namespaces=page, next_page_token=make_token(request, page[-1]) if more else ""
        )

    async def _namespace(self, _request: Message, scope: CallScope) -> Message:
        if not self._namespaces.exists(scope.namespace):
            raise Refused(errors_pb2.ERROR_REASON_NAMESPACE_NOT_FOUND, namespace=scope.namespace)
        async with self._namespaces.use(scope.namespace) as namespace:
            await namespace.reached(scope.min_position)
            return GetNamespaceResponse(
                namespace=namespace.name,
                incarnation=namespace.incarnation,
                head_position=namespace.head.position,
                chain_hash=namespace.head.chain_hash,
                head_commit_time=optional_timestamp(namespace.head_time_us),
                erasure_pending=namespace.erasure_pending,
            )
