"""Lists that fetch their pages by themselves."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message

from gapless._async._calls import Calls
from gapless._queries import QueryKind, Request

ItemT = TypeVar("ItemT")
PageT = TypeVar("PageT", bound=Message)


class PagedRequest(Request, Protocol):
    """What every request for a page has."""

    page_token: str


class Page(Protocol):
    """What every page has."""

    next_page_token: str


class AsyncPager(Generic[ItemT]):
    """A list that is read page by page while it is iterated.

    Each iteration begins with the first page again. Nothing is read before the first item is
    asked for, and no more than one page is held. What is committed meanwhile may show on later
    pages.
    """

    def __init__(
        self,
        calls: Calls,
        kind: QueryKind[PageT],
        request: PagedRequest,
        items: Callable[[PageT], Sequence[ItemT]],
        timeout: float | None,
    ) -> None:
        self._calls = calls
        self._kind = kind
        self._request = request
        self._items = items
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        """Yields the items; any page may raise what the list method lists."""
        async for page in self.pages():
            for item in page:
                yield item

    async def pages(self) -> AsyncIterator[Sequence[ItemT]]:
        """Yields the items page by page."""
        request = copy.deepcopy(self._request)
        while True:
            page = await self._calls.query(self._kind, request, self._timeout)
            yield self._items(page)
            request.page_token = cast("Page", page).next_page_token
            if not request.page_token:
                return
