"""Read markers: how far a user has read, and what is unread."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.read_markers_pb2 import (
    GetReadMarkerRequest,
    GetReadMarkerResponse,
    ListReadMarkersRequest,
    ListReadMarkersResponse,
    MarkReadRequest,
    MarkReadResponse,
    ReadMarker,
)

_MARK: Final = CommandKind("mark_read", MarkReadResponse)
_GET: Final = QueryKind("ReadMarkerService.GetReadMarker", GetReadMarkerResponse)
_LIST: Final = QueryKind("ReadMarkerService.ListReadMarkers", ListReadMarkersResponse)


class ReadMarkers:
    """How far a user has read in a channel; ``client.read_markers``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def mark(
        self,
        channel_id: str,
        user_id: str,
        sequence: int,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> MarkReadResponse:
        """Marks a channel as read up to a sequence. A marker never moves back.

        Args:
            channel_id: which channel.
            user_id: which user.
            sequence: the last one that was read, from 1; beyond the head it counts as the head.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The marker after the command, with the unread count, and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = MarkReadRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            user_id=user_id,
            sequence=sequence,
        )
        return await self._calls.submit(_MARK, request, timeout)

    async def get(
        self, channel_id: str, user_id: str, *, timeout: float | None = None
    ) -> ReadMarker:
        """Returns a user's marker and unread count in a channel.

        Args:
            channel_id: which channel.
            user_id: which user; one who never marked anything has everything unread.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = GetReadMarkerRequest(channel_id=channel_id, user_id=user_id)
        response = await self._calls.query(_GET, request, timeout)
        return response.marker

    def list(
        self, user_id: str, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[ReadMarker]:
        """Lists a user's markers in every channel that the user is a member of, by channel id.

        Args:
            user_id: which user.
            page_size: how many a page, up to 1,000. None: 1,000.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListReadMarkersRequest(user_id=user_id, page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.markers, timeout)
