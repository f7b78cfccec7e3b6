"""Streams copies of logs: OperationsService.BackupNamespace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from gapless.v1 import errors_pb2
from gapless.v1.operations_pb2 import (
    BackupManifest,
    BackupNamespaceRequest,
    BackupNamespaceResponse,
)
from gapless_server.core.refusals import Refused
from gapless_server.core.times import to_timestamp
from gapless_server.journal.copies import LogCopy
from gapless_server.journal.port import JournalError, NotSupported
from gapless_server.rpc.calls import CallScope, ServicerContext, scope_of
from gapless_server.rpc.parsing import parse
from gapless_server.rpc.status import abort
from gapless_server.rpc.streams import StreamGate
from gapless_server.writer.clock import Clock
from gapless_server.writer.log_reader import journal_refusal
from gapless_server.writer.namespaces import Namespaces

# Large enough to cost little, small enough that a slow reader holds little.
CHUNK_BYTES: Final = 256 * 1024


class BackupServicer:
    """Answers BackupNamespace."""

    def __init__(
        self, namespaces: Namespaces, clock: Clock, version: str, streams_max: int
    ) -> None:
        self._namespaces = namespaces
        self._clock = clock
        self._version = version
        self._gate = StreamGate("backup", streams_max)

    async def stream(self, data: bytes, context: ServicerContext) -> AsyncIterator[bytes]:
        """Streams the manifest and then the bytes of a copy of the log."""
        try:
            scope = scope_of(context)
            parse(BackupNamespaceRequest, data)
            with self._gate, await self._copy(scope) as copy:
                manifest = self._manifest(scope.namespace, copy)
                yield BackupNamespaceResponse(manifest=manifest).SerializeToString()
                while chunk := await asyncio.to_thread(copy.file.read, CHUNK_BYTES):
                    yield BackupNamespaceResponse(chunk=chunk).SerializeToString()
        except Refused as refusal:
            await abort(context, refusal)

    async def _copy(self, scope: CallScope) -> LogCopy:
        if not self._namespaces.exists(scope.namespace):
            raise Refused(errors_pb2.ERROR_REASON_NAMESPACE_NOT_FOUND, namespace=scope.namespace)
        store = self._namespaces.store
        try:
            # Open, so that nobody closes the log meanwhile.
            async with self._namespaces.use(scope.namespace):
                return await store.copy(scope.namespace)
        except NotSupported as error:
            raise Refused(
                errors_pb2.ERROR_REASON_BACKUP_NOT_SUPPORTED, journal=store.name
            ) from error
        except JournalError as error:
            raise journal_refusal(scope.namespace, error) from error

    def _manifest(self, namespace: str, copy: LogCopy) -> BackupManifest:
        return BackupManifest(
            namespace=namespace,
            incarnation=copy.incarnation,
            head_position=copy.head.position,
            chain_hash=copy.head.chain_hash,
            format_version=copy.format_version,
            version=self._version,
            size_bytes=copy.size_bytes,
            file_hash=copy.file_hash,
            create_time=to_timestamp(self._clock.now_us()),
        )
