"""Pools: create, change, check and clean them up; ``reservations`` has what is held in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._number_ranges import Numbers, number_ranges
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.pool_reservations_pb2 import ReleasedReservation
from gapless.v1.pools_pb2 import (
    CheckPoolRequest,
    CheckPoolResponse,
    CleanUpPoolRequest,
    CleanUpPoolResponse,
    CreatePoolRequest,
    CreatePoolResponse,
    GetPoolRequest,
    GetPoolResponse,
    ListPoolsRequest,
    ListPoolsResponse,
    Pool,
    PreviewCleanUpRequest,
    PreviewCleanUpResponse,
    UpdatePoolRequest,
    UpdatePoolResponse,
)

_CREATE: Final = CommandKind("create_pool", CreatePoolResponse)
_UPDATE: Final = CommandKind("update_pool", UpdatePoolResponse)
_CLEAN_UP: Final = CommandKind("clean_up_pool", CleanUpPoolResponse)
_GET: Final = QueryKind("PoolService.GetPool", GetPoolResponse)
_LIST: Final = QueryKind("PoolService.ListPools", ListPoolsResponse)
_CHECK: Final = QueryKind("PoolService.CheckPool", CheckPoolResponse)
_PREVIEW: Final = QueryKind("PoolService.PreviewCleanUp", PreviewCleanUpResponse)


class Pools:
    """Pools of numbers, such as ports, seats or invoice numbers; reached as ``client.pools``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self,
        pool_id: str,
        ranges: Sequence[Numbers],
        *,
        exclusions: Sequence[Numbers] = (),
        preferred_numbers: Sequence[int] = (),
        gap_free: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CreatePoolResponse:
        """Creates a pool. The same again: ``changed`` is False.

        Args:
            pool_id: 1 to 128 characters, unique in the namespace.
            ranges: what the pool may give: numbers from 0 to 2^63-1, and ranges such as
                ``range(8000, 8100)``, up to 1,000 that do not overlap.
            exclusions: what to leave out of the ranges, in the same form.
            preferred_numbers: given before all others, in this order; up to 1,000.
            gap_free: give the numbers in order and none of them twice, as for invoices. What is
                released becomes void and stays on record.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The pool and the receipt.

        Raises:
            TypeError: ranges or exclusions have something that is neither number nor range.
            ValueError: a range has no numbers, or a step.
            PoolAlreadyExists: it is there with other settings.
            InvalidField: ranges overlap, or something else breaks its rule.
            GaplessError: any other failure.
        """
        request = CreatePoolRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            ranges=number_ranges("ranges", ranges),
            exclusions=number_ranges("exclusions", exclusions),
            preferred_numbers=preferred_numbers,
            gap_free=gap_free,
        )
        return await self._calls.submit(_CREATE, request, timeout)

    async def update(
        self,
        pool_id: str,
        *,
        ranges: Sequence[Numbers] | None = None,
        exclusions: Sequence[Numbers] | None = None,
        preferred_numbers: Sequence[int] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpdatePoolResponse:
        """Changes which numbers a pool may give from now on.

        What is held and no longer in the range stays held; the pool's ``outside_count`` says how
        much that is, and ``outside_numbers`` of a reservation which numbers.

        Args:
            pool_id: which pool.
            ranges: replace all old ones. None: as they are.
            exclusions: replace all old ones. None: as they are.
            preferred_numbers: replace all old ones. None: as they are.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The pool after the change, and the receipt.

        Raises:
            TypeError: ranges or exclusions have something that is neither number nor range.
            ValueError: a range has no numbers, or a step.
            PoolNotFound: there is no such pool.
            InvalidField: nothing is given to change, or something breaks its rule.
            GaplessError: any other failure.
        """
        given = {
            "ranges": ranges,
            "exclusions": exclusions,
            "preferred_numbers": preferred_numbers,
        }
        request = UpdatePoolRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            ranges=number_ranges("ranges", ranges or ()),
            exclusions=number_ranges("exclusions", exclusions or ()),
            preferred_numbers=preferred_numbers,
            update_mask=FieldMask(paths=[name for name in given if given[name] is not None]),
        )
        return await self._calls.submit(_UPDATE, request, timeout)

    async def clean_up(
        self,
        pool_id: str,
        *,
        gone_owner_ids: Sequence[str] = (),
        gone_position_max: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CleanUpPoolResponse:
        """Releases what has expired, and what owners who are gone hold.

        One command ends at most 1,000 reservations of 10,000 numbers; if ``remaining_count`` of the
        answer is not 0, clean up again.

        Args:
            pool_id: which pool.
            gone_owner_ids: owners that are gone; up to 1,000.
            gone_position_max: spare what they reserved after this position. None: spare nothing.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            What was released and why, how much remains, and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            GaplessError: any other failure.
        """
        request = CleanUpPoolRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            gone_owner_ids=gone_owner_ids,
            gone_position_max=gone_position_max,
        )
        return await self._calls.submit(_CLEAN_UP, request, timeout)

    def preview_clean_up(
        self,
        pool_id: str,
        *,
        gone_owner_ids: Sequence[str] = (),
        gone_position_max: int | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[ReleasedReservation]:
        """Lists what `clean_up` would release now, and why; changes nothing.

        Args:
            pool_id: which pool.
            gone_owner_ids: as for `clean_up`.
            gone_position_max: as for `clean_up`.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            PoolNotFound: while iterating, if there is no such pool.
            GaplessError: while iterating, if a page can not be read.
        """
        request = PreviewCleanUpRequest(
            pool_id=pool_id,
            gone_owner_ids=gone_owner_ids,
            gone_position_max=gone_position_max,
            page_size=page_size or 0,
        )
        return AsyncPager(self._calls, _PREVIEW, request, lambda page: page.reservations, timeout)

    async def check(self, pool_id: str, *, timeout: float | None = None) -> CheckPoolResponse:
        """Recounts a pool: nothing is held twice, groups are whole, and the counts are right.

        Args:
            pool_id: which pool.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            Whether all is well, what is not, and what is held outside the range.

        Raises:
            PoolNotFound: there is no such pool.
            GaplessError: any other failure.
        """
        return await self._calls.query(_CHECK, CheckPoolRequest(pool_id=pool_id), timeout)

    async def get(self, pool_id: str, *, timeout: float | None = None) -> Pool:
        """Returns a pool.

        Args:
            pool_id: which pool.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            PoolNotFound: there is no such pool.
            GaplessError: any other failure.
        """
        response = await self._calls.query(_GET, GetPoolRequest(pool_id=pool_id), timeout)
        return response.pool

    def list(
        self, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[Pool]:
        """Lists the pools in the order of their ids.

        Args:
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListPoolsRequest(page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.pools, timeout)
