"""Reservations: who holds which numbers of a pool, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.pool_reservations_pb2 import (
    ConfirmReservationRequest,
    ConfirmReservationResponse,
    GetNumberRequest,
    GetNumberResponse,
    GetReservationRequest,
    GetReservationResponse,
    ListReservationsRequest,
    ListReservationsResponse,
    ListVoidNumbersRequest,
    ListVoidNumbersResponse,
    ReleaseOwnerRequest,
    ReleaseOwnerResponse,
    ReleaseReservationRequest,
    ReleaseReservationResponse,
    RenewReservationRequest,
    RenewReservationResponse,
    Reservation,
    ReserveGroupRequest,
    ReserveGroupResponse,
    ReserveNumberRequest,
    ReserveNumberResponse,
    VoidNumber,
)

_RESERVE: Final = CommandKind("reserve_number", ReserveNumberResponse)
_RESERVE_GROUP: Final = CommandKind("reserve_group", ReserveGroupResponse)
_CONFIRM: Final = CommandKind("confirm_reservation", ConfirmReservationResponse)
_RENEW: Final = CommandKind("renew_reservation", RenewReservationResponse)
_RELEASE: Final = CommandKind("release_reservation", ReleaseReservationResponse)
_RELEASE_OWNER: Final = CommandKind("release_owner", ReleaseOwnerResponse)
_GET: Final = QueryKind("ReservationService.GetReservation", GetReservationResponse)
_NUMBER: Final = QueryKind("ReservationService.GetNumber", GetNumberResponse)
_LIST: Final = QueryKind("ReservationService.ListReservations", ListReservationsResponse)
_VOID: Final = QueryKind("ReservationService.ListVoidNumbers", ListVoidNumbersResponse)


class Reservations:
    """Numbers of pools that are held by owners; reached as ``client.reservations``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def reserve(
        self,
        pool_id: str,
        owner_id: str,
        key: str,
        *,
        preferred_number: int | None = None,
        only_preferred: bool = False,
        ttl_seconds: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReserveNumberResponse:
        """Reserves one number. The same owner and key again: the same number.

        Args:
            pool_id: which pool.
            owner_id: who is to hold it.
            key: the owner's name for it; one number for each.
            preferred_number: give this one if it is free, otherwise another. Not for gap-free
                pools.
            only_preferred: raise NumberNotAvailable instead of giving another.
            ttl_seconds: after how long it expires if it is not renewed, up to ten years; what has
                expired is free again once it is swept: by ``pools.clean_up``, by the same owner
                and key, or by who finds nothing else. None: it is held until it is released.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The number, whether it was held already, when it expires, and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            PoolExhausted: no number is free.
            NumberNotAvailable: the only number that will do is not free.
            ReservationDiffers: the owner holds something else under this key.
            GaplessError: any other failure.
        """
        request = ReserveNumberRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            owner_id=owner_id,
            key=key,
            preferred_number=preferred_number,
            only_preferred=only_preferred,
            ttl_seconds=ttl_seconds,
        )
        return await self._calls.submit(_RESERVE, request, timeout)

    async def reserve_group(
        self,
        pool_id: str,
        owner_id: str,
        key: str,
        count: int = 0,
        *,
        contiguous: bool = False,
        offsets: Sequence[int] = (),
        base: int | None = None,
        ttl_seconds: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReserveGroupResponse:
        """Reserves several numbers, all or none. The same again: the same group.

        Args:
            pool_id: which pool.
            owner_id: who is to hold it.
            key: the owner's name for the group.
            count: how many numbers, up to 1,000; or give offsets.
            contiguous: they must follow each other without a gap.
            offsets: the numbers as distances from a base, up to 1,000. Not for gap-free pools.
            base: what offsets count from. None: the smallest base that fits.
            ttl_seconds: after how long it expires if it is not renewed, up to ten years; what has
                expired is free again once it is swept: by ``pools.clean_up``, by the same owner
                and key, or by who finds nothing else. None: it is held until it is released.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The numbers in order, whether they were held already, the base of offsets, when the
            group expires, and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            PoolExhausted: fewer numbers are free.
            PoolFragmented: enough are free, but not as they should lie.
            NumberNotAvailable: a number that the base names is not free.
            ReservationDiffers: the owner holds something else under this key.
            GaplessError: any other failure.
        """
        request = ReserveGroupRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            owner_id=owner_id,
            key=key,
            count=count,
            contiguous=contiguous,
            offsets=offsets,
            base=base,
            ttl_seconds=ttl_seconds,
        )
        return await self._calls.submit(_RESERVE_GROUP, request, timeout)

    async def confirm(
        self,
        pool_id: str,
        owner_id: str,
        key: str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ConfirmReservationResponse:
        """Keeps a reservation for good: drops its time to live.

        Args:
            pool_id: which pool.
            owner_id: who holds it.
            key: the owner's name for it.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The reservation and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            ReservationNotFound: the owner holds nothing under this key.
            ReservationExpired: it came too late.
            GaplessError: any other failure.
        """
        request = ConfirmReservationRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            owner_id=owner_id,
            key=key,
        )
        return await self._calls.submit(_CONFIRM, request, timeout)

    async def renew(
        self,
        pool_id: str,
        owner_id: str,
        key: str,
        *,
        ttl_seconds: int,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RenewReservationResponse:
        """Keeps a reservation for longer; it never comes to expire earlier.

        Args:
            pool_id: which pool.
            owner_id: who holds it.
            key: the owner's name for it.
            ttl_seconds: after how long, from now on, it expires; up to ten years.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The reservation and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            ReservationNotFound: the owner holds nothing under this key.
            ReservationExpired: it came too late.
            GaplessError: any other failure.
        """
        request = RenewReservationRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            owner_id=owner_id,
            key=key,
            ttl_seconds=ttl_seconds,
        )
        return await self._calls.submit(_RENEW, request, timeout)

    async def release(
        self,
        pool_id: str,
        owner_id: str,
        key: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReleaseReservationResponse:
        """Releases what one reservation holds, number or group. Nothing: ``changed`` is False.

        Args:
            pool_id: which pool.
            owner_id: who holds it.
            key: the owner's name for it.
            fail_if_unchanged: raise ReservationNotFound if there is none.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The numbers that were released, and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            ReservationNotFound: there was nothing, and that was to fail.
            GaplessError: any other failure.
        """
        request = ReleaseReservationRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            owner_id=owner_id,
            key=key,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_RELEASE, request, timeout)

    async def release_owner(
        self,
        pool_id: str,
        owner_id: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReleaseOwnerResponse:
        """Releases all that an owner holds in a pool. Nothing: ``changed`` is False.

        One command ends at most 1,000 reservations of 10,000 numbers; if ``remaining_count`` of the
        answer is not 0, release again.

        Args:
            pool_id: which pool.
            owner_id: which owner.
            fail_if_unchanged: raise OwnerHoldsNothing if there is nothing.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            What was released, how much remains, and the receipt.

        Raises:
            PoolNotFound: there is no such pool.
            OwnerHoldsNothing: there was nothing, and that was to fail.
            GaplessError: any other failure.
        """
        request = ReleaseOwnerRequest(
            request_id=new_request_id() if request_id is None else request_id,
            pool_id=pool_id,
            owner_id=owner_id,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_RELEASE_OWNER, request, timeout)

    async def get(
        self, pool_id: str, owner_id: str, key: str, *, timeout: float | None = None
    ) -> Reservation:
        """Returns one reservation; ``expired`` says if it is dead and only waits to be swept.

        Args:
            pool_id: which pool.
            owner_id: who holds it.
            key: the owner's name for it.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            PoolNotFound: there is no such pool.
            ReservationNotFound: the owner holds nothing under this key.
            GaplessError: any other failure.
        """
        request = GetReservationRequest(pool_id=pool_id, owner_id=owner_id, key=key)
        response = await self._calls.query(_GET, request, timeout)
        return response.reservation

    async def number(
        self, pool_id: str, number: int, *, timeout: float | None = None
    ) -> GetNumberResponse:
        """Says what has become of a number, and which reservation holds it.

        Args:
            pool_id: which pool.
            number: which number.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            PoolNotFound: there is no such pool.
            GaplessError: any other failure.
        """
        request = GetNumberRequest(pool_id=pool_id, number=number)
        return await self._calls.query(_NUMBER, request, timeout)

    def list(
        self,
        pool_id: str,
        *,
        owner_id: str | None = None,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> AsyncPager[Reservation]:
        """Lists reservations in the order of owner and key, expired ones among them.

        Args:
            pool_id: which pool.
            owner_id: only those of this owner. None: of all.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            PoolNotFound: while iterating, if there is no such pool.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListReservationsRequest(
            pool_id=pool_id, owner_id=owner_id or "", page_size=page_size or 0
        )
        return AsyncPager(self._calls, _LIST, request, lambda page: page.reservations, timeout)

    def list_void(
        self, pool_id: str, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[VoidNumber]:
        """Lists the numbers of a gap-free pool that were given and released, in order.

        Args:
            pool_id: which pool.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            PoolNotFound: while iterating, if there is no such pool.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListVoidNumbersRequest(pool_id=pool_id, page_size=page_size or 0)
        return AsyncPager(self._calls, _VOID, request, lambda page: page.void_numbers, timeout)
