"""Operations: what the service and its namespaces are like right now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._async._transport import RpcError, failed_call
from gapless._error_decoding import from_failed_call
from gapless._queries import QueryKind
from gapless.v1.operations_pb2 import (
    BackupNamespaceRequest,
    BackupNamespaceResponse,
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
_BACKUP: Final = QueryKind("OperationsService.BackupNamespace", BackupNamespaceResponse)

# The service copies the whole log before its first word.
_BACKUP_SILENCE_SECONDS_MAX: Final = 3600.0


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

    async def backup_namespace(self) -> AsyncIterator[BackupNamespaceResponse]:
        """Streams a copy of the log of this client's namespace: a manifest, then its bytes.

        `gapless backup` writes it to a folder that `gapless restore` takes. What breaks off is
        not gone on with: begin again.

        Raises:
            NamespaceNotFound: no command ever reached it.
            BackupNotSupported: the service keeps its logs in memory.
            TimeoutError: nothing came for an hour.
            GaplessError: any other failure.
        """
        stream = self._calls.stream(_BACKUP, BackupNamespaceRequest())
        try:
            while (part := await stream.next(_BACKUP_SILENCE_SECONDS_MAX)) is not None:
                yield part
        except RpcError as failed:
            address = self._calls.connection.address
            raise from_failed_call(failed_call(failed), address) from failed
        finally:
            stream.cancel()
