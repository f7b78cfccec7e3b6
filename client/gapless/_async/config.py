"""Configuration: write, delete and read values by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._bodies import BodyLike
from gapless._commands import CommandKind
from gapless._config_writes import config_writes
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.config_pb2 import (
    ConfigChange,
    ConfigValue,
    DeleteConfigRequest,
    DeleteConfigResponse,
    GetConfigRequest,
    GetConfigResponse,
    ListConfigHistoryRequest,
    ListConfigHistoryResponse,
    ListConfigRequest,
    ListConfigResponse,
    SetConfigRequest,
    SetConfigResponse,
)

_SET: Final = CommandKind("set_config", SetConfigResponse)
_DELETE: Final = CommandKind("delete_config", DeleteConfigResponse)
_GET: Final = QueryKind("ConfigService.GetConfig", GetConfigResponse)
_LIST: Final = QueryKind("ConfigService.ListConfig", ListConfigResponse)
_HISTORY: Final = QueryKind("ConfigService.ListConfigHistory", ListConfigHistoryResponse)


class Config:
    """Values by key, each with a version that only grows; reached as ``client.config``.

    To watch keys, use ``client.events.watch(config_key_prefixes=...)``.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def set(
        self,
        key: str,
        body: BodyLike,
        *,
        expected_version: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> SetConfigResponse:
        """Writes one key. The value that it already has: ``changed`` is False.

        Args:
            key: 1 to 128 characters, such as ``"billing/eu/rate"``.
            body: the value: a text, bytes or a ``Body``; at most 65,536 bytes.
            expected_version: write only at this version; 0: only if the key does not exist.
                None: at any.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            One result, with the version of the key, and the receipt.

        Raises:
            ConfigVersionMismatch: the key is at another version; its metadata says at which.
            GaplessError: any other failure.
        """
        expected = None if expected_version is None else {key: expected_version}
        return await self.set_many(
            {key: body}, expected_versions=expected, request_id=request_id, timeout=timeout
        )

    async def set_many(
        self,
        values: Mapping[str, BodyLike],
        *,
        expected_versions: Mapping[str, int] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> SetConfigResponse:
        """Writes many keys at once, all or nothing.

        Args:
            values: the values by key, 1 to 1,000; each a text, bytes or a ``Body``.
            expected_versions: versions that some or all of the keys must be at; 0: the key must
                not exist. None: any.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            A result for each key, in the order of `values`, and the receipt.

        Raises:
            ValueError: a version is expected of a key that is not written.
            ConfigVersionMismatch: a key is at another version; nothing is written, and the
                metadata names the first such key.
            GaplessError: any other failure.
        """
        request = SetConfigRequest(
            request_id=new_request_id() if request_id is None else request_id,
            writes=config_writes(values, expected_versions or {}),
        )
        return await self._calls.submit(_SET, request, timeout)

    async def delete(
        self,
        key: str,
        *,
        expected_version: int | None = None,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteConfigResponse:
        """Deletes a key, whose versions go on when it is written again.

        Args:
            key: which key.
            expected_version: delete only at this version, from 1. None: at any.
            fail_if_unchanged: raise ConfigNotFound if there is no such key.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The version of the deletion, and the receipt.

        Raises:
            ConfigNotFound: there is no such key, and that was to fail.
            ConfigVersionMismatch: the key is at another version, or does not exist.
            GaplessError: any other failure.
        """
        request = DeleteConfigRequest(
            request_id=new_request_id() if request_id is None else request_id,
            key=key,
            expected_version=expected_version,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_DELETE, request, timeout)

    async def get(self, key: str, *, timeout: float | None = None) -> ConfigValue:
        """Returns the value of a key.

        Args:
            key: which key.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            ConfigNotFound: there is no such key.
            GaplessError: any other failure.
        """
        response = await self._calls.query(_GET, GetConfigRequest(key=key), timeout)
        return response.value

    def list(
        self, key_prefix: str = "", *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[ConfigValue]:
        """Lists the values of the keys that begin with a prefix, in the order of the keys.

        Args:
            key_prefix: what the keys begin with. Empty: all keys.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListConfigRequest(key_prefix=key_prefix, page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.values, timeout)

    def history(
        self, key: str, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[ConfigChange]:
        """Lists the last 100 changes of a key, the newest first, deletions included.

        Args:
            key: which key.
            page_size: how many a page. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            ConfigNotFound: while iterating, if the key was never written.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListConfigHistoryRequest(key=key, page_size=page_size or 0)
        return AsyncPager(self._calls, _HISTORY, request, lambda page: page.changes, timeout)
