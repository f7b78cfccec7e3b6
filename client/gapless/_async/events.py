"""Events: watch the log, read it, and ask what became of a command."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

from gapless._async._calls import Calls
from gapless._async._watch import AsyncWatch
from gapless._options import check_timeout
from gapless._queries import QueryKind
from gapless._watching import Entry, ReadPosition, WatchPosition, event_filter
from gapless.v1.events_pb2 import GetRequestRequest, GetRequestResponse, ReadEventsResponse

_READ: Final = QueryKind("EventService.ReadEvents", ReadEventsResponse)
_GET_REQUEST: Final = QueryKind("EventService.GetRequest", GetRequestResponse)


class AsyncEventReader:
    """The log up to its present end, read page by page while it is iterated."""

    def __init__(self, calls: Calls, position: ReadPosition, timeout: float | None) -> None:
        self._calls = calls
        self._position = position
        self._timeout = timeout

    @property
    def cursor(self) -> str:
        """Where the reader stands, after the last entry that it gave; to go on later."""
        return self._position.cursor

    async def __aiter__(self) -> AsyncIterator[Entry]:
        """Yields the entries up to the end of the log; again, those that came since."""
        at_end = False
        while not at_end:
            page = await self._calls.query(_READ, self._position.request(), self._timeout)
            for entry in self._position.take(page):
                yield entry
            at_end = page.end_of_log


class Events:
    """The log of the namespace; reached as ``client.events``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def watch(
        self,
        *,
        from_start: bool = False,
        from_now: bool = False,
        cursor: str | None = None,
        channel_ids: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        config_key_prefixes: Sequence[str] | None = None,
        timeout: float | None = None,
        resume_timeout: float = math.inf,
    ) -> AsyncWatch:
        """Streams the entries of the log as they are committed; goes on after a restart by itself.

        Exactly one of `from_start`, `from_now` and `cursor` says where to begin.

        Args:
            from_start: begin with position 1.
            from_now: begin after what is committed when the service begins the stream, which is
                when ``CaughtUp`` comes.
            cursor: begin after the item that had this cursor.
            channel_ids: only events of these channels, at most 1,000. None: of all, and of none.
            event_types: only events of these types, such as ``"message_posted"``. None: all.
            config_key_prefixes: only changes of configuration keys that begin with one of these,
                at most 1,000. None: all events.
            timeout: seconds to reach the service at first. None: the client's.
            resume_timeout: seconds to go on trying when the stream is lost, however often that is.

        Returns:
            Something to iterate that gives ``Entry`` and, once, ``CaughtUp``.

        Raises:
            ValueError: not exactly one beginning is given, or an empty list to filter by.
            CursorReset: while iterating: the log is no longer the one that the cursor came from.
            GaplessError: while iterating: the watch was refused or can not go on.
        """
        position = WatchPosition(
            from_start=from_start,
            from_now=from_now,
            cursor=cursor,
            filter=event_filter(channel_ids, event_types, config_key_prefixes),
        )
        return AsyncWatch(
            self._calls,
            position,
            timeout=(
                self._calls.options.timeout_seconds if timeout is None else check_timeout(timeout)
            ),
            resume_timeout=resume_timeout,
        )

    def read(
        self,
        *,
        cursor: str | None = None,
        channel_ids: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        config_key_prefixes: Sequence[str] | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncEventReader:
        """Reads the log from a cursor up to its present end.

        Args:
            cursor: begin after the entry that had this cursor. None: at position 1.
            channel_ids: only events of these channels, at most 1,000. None: of all, and of none.
            event_types: only events of these types, such as ``"message_posted"``. None: all.
            config_key_prefixes: only changes of configuration keys that begin with one of these,
                at most 1,000. None: all events.
            page_size: how many entries a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            ValueError: a list to filter by is empty; give None for no condition.
            CursorReset: while iterating: the log is no longer the one that the cursor came from.
            GaplessError: while iterating, if a page can not be read.
        """
        position = ReadPosition(
            cursor=cursor,
            filter=event_filter(channel_ids, event_types, config_key_prefixes),
            page_size=page_size,
        )
        return AsyncEventReader(self._calls, position, timeout)

    async def get_request(
        self, request_id: str, *, timeout: float | None = None
    ) -> GetRequestResponse:
        """Says what became of a command of this caller in this namespace.

        Args:
            request_id: the idempotency key that it had.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            ``found`` is False if no such command was ever committed; else its receipt, its events
            and the answer that it got.

        Raises:
            GaplessError: any failure.
        """
        request = GetRequestRequest(request_id=request_id)
        return await self._calls.query(_GET_REQUEST, request, timeout)
