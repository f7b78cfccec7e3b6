"""Push subscriptions: where a user's devices can be reached."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.push_subscriptions_pb2 import (
    ListPushSubscriptionsRequest,
    ListPushSubscriptionsResponse,
    PushSubscription,
    RemovePushSubscriptionRequest,
    RemovePushSubscriptionResponse,
    UpsertPushSubscriptionRequest,
    UpsertPushSubscriptionResponse,
)

_UPSERT: Final = CommandKind("upsert_push_subscription", UpsertPushSubscriptionResponse)
_REMOVE: Final = CommandKind("remove_push_subscription", RemovePushSubscriptionResponse)
_LIST: Final = QueryKind(
    "PushSubscriptionService.ListPushSubscriptions", ListPushSubscriptionsResponse
)


class PushSubscriptions:
    """One subscription an endpoint, with its keys; ``client.push_subscriptions``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def upsert(
        self,
        user_id: str,
        endpoint: str,
        *,
        p256dh_key: bytes | None = None,
        auth_key: bytes | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpsertPushSubscriptionResponse:
        """Writes the subscription of an endpoint; the last committed write wins.

        Args:
            user_id: whose it is from now on.
            endpoint: 1 to 2,048 characters, usually a URL.
            p256dh_key: the public key to encrypt for, at most 1,024 bytes.
            auth_key: the authentication secret, at most 1,024 bytes.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The receipt; ``changed`` is False if all was so already.

        Raises:
            GaplessError: any failure.
        """
        request = UpsertPushSubscriptionRequest(
            request_id=new_request_id() if request_id is None else request_id,
            user_id=user_id,
            endpoint=endpoint,
            p256dh_key=p256dh_key or b"",
            auth_key=auth_key or b"",
        )
        return await self._calls.submit(_UPSERT, request, timeout)

    async def remove(
        self,
        user_id: str,
        endpoint: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RemovePushSubscriptionResponse:
        """Removes the subscription of an endpoint. Not there, or another's: nothing changes.

        Args:
            user_id: whose it is.
            endpoint: which endpoint.
            fail_if_unchanged: raise PushSubscriptionNotFound if the user has no such endpoint.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The receipt.

        Raises:
            PushSubscriptionNotFound: the user has no such endpoint, and that was to fail.
            GaplessError: any other failure.
        """
        request = RemovePushSubscriptionRequest(
            request_id=new_request_id() if request_id is None else request_id,
            user_id=user_id,
            endpoint=endpoint,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_REMOVE, request, timeout)

    def list(
        self, user_id: str, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[PushSubscription]:
        """Lists a user's subscriptions in the order of the endpoints, keys included.

        Args:
            user_id: whose.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListPushSubscriptionsRequest(user_id=user_id, page_size=page_size or 0)
        return AsyncPager(self._calls, _LIST, request, lambda page: page.subscriptions, timeout)
