"""Operations: what the service and its namespaces are like right now."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._queries import QueryKind
from gapless.v1.operations_pb2 import (
    GetNamespaceRequest,
    GetNamespaceResponse,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
)

_SERVER_INFO: Final = QueryKind("OperationsService.GetServerInfo", GetServerInfoResponse)
_LIST: Final = QueryKind("OperationsService.ListNamespaces", ListNamespacesResponse)
_NAMESPACE: Final = QueryKind("OperationsService.GetNamespace", GetNamespaceResponse)


class Operations:
    """Answers for those who run the service; ``client.operations``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def server_info(self, *, timeout: float | None = None) -> GetServerInfoResponse:
        """Describes the running service.

        Args:
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            GaplessError: any failure.
        """
        return await self._calls.query(_SERVER_INFO, GetServerInfoRequest(), timeout)

    def list_namespaces(
        self, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[str]:
        """Lists the names of the namespaces that exist, in order.

        Args:
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListNamespacesRequest(page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.namespaces, timeout)

    async def get_namespace(self, *, timeout: float | None = None) -> GetNamespaceResponse:
        """Describes the namespace of this client.

        Args:
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            NamespaceNotFound: no command ever reached it.
            GaplessError: any other failure.
        """
        return await self._calls.query(_NAMESPACE, GetNamespaceRequest(), timeout)
