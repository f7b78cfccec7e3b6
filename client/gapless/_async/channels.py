"""Channels: create, read, change and archive them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.channels_pb2 import (
    ArchiveChannelRequest,
    ArchiveChannelResponse,
    Channel,
    CreateChannelRequest,
    CreateChannelResponse,
    GetChannelRequest,
    GetChannelResponse,
    ListChannelsRequest,
    ListChannelsResponse,
    UpdateChannelRequest,
    UpdateChannelResponse,
)

_CREATE: Final = CommandKind("create_channel", CreateChannelResponse)
_UPDATE: Final = CommandKind("update_channel", UpdateChannelResponse)
_ARCHIVE: Final = CommandKind("archive_channel", ArchiveChannelResponse)
_GET: Final = QueryKind("ChannelService.GetChannel", GetChannelResponse)
_LIST: Final = QueryKind("ChannelService.ListChannels", ListChannelsResponse)


class Channels:
    """Named, ordered places to post messages to; reached as ``client.channels``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self,
        channel_id: str | None = None,
        *,
        title: str | None = None,
        attributes: Mapping[str, str] | None = None,
        first_sequence: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CreateChannelResponse:
        """Creates a channel. The same id with the same settings again: ``changed`` is False.

        Args:
            channel_id: 1 to 128 characters, unique in the namespace. None: the service makes one.
            title: for people, at most 1,024 characters.
            attributes: facts of the application, at most 64.
            first_sequence: the sequence of the first message, from 1. None: 1.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The channel and the receipt.

        Raises:
            ChannelAlreadyExists: the id is taken by a channel with other settings.
            GaplessError: any other failure.
        """
        request = CreateChannelRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id or "",
            title=title or "",
            attributes=attributes,
            first_sequence=first_sequence,
        )
        return await self._calls.submit(_CREATE, request, timeout)

    async def get(self, channel_id: str, *, timeout: float | None = None) -> Channel:
        """Returns one channel.

        Args:
            channel_id: which channel.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            ChannelNotFound: there is none.
            GaplessError: any other failure.
        """
        request = GetChannelRequest(channel_id=channel_id)
        response = await self._calls.query(_GET, request, timeout)
        return response.channel

    def list(
        self, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[Channel]:
        """Lists the channels in the order of their ids, archived ones included.

        Args:
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListChannelsRequest(page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.channels, timeout)

    async def update(
        self,
        channel_id: str,
        *,
        title: str | None = None,
        attributes: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpdateChannelResponse:
        """Changes what is given of a channel, also of an archived one.

        Args:
            channel_id: which channel.
            title: the new title. None: as it is.
            attributes: replace all old ones. None: as they are.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The channel after the change, and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            InvalidField: neither title nor attributes are given, or one breaks its rule.
            GaplessError: any other failure.
        """
        given = {"title": title, "attributes": attributes}
        request = UpdateChannelRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            title=title or "",
            attributes=attributes,
            update_mask=FieldMask(paths=[name for name in given if given[name] is not None]),
        )
        return await self._calls.submit(_UPDATE, request, timeout)

    async def archive(
        self, channel_id: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> ArchiveChannelResponse:
        """Closes a channel for new messages, for good. Again: ``changed`` is False.

        Args:
            channel_id: which channel.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The channel after the change, and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = ArchiveChannelRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
        )
        return await self._calls.submit(_ARCHIVE, request, timeout)
