"""Memberships: join, leave, and read who is in which channel."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._async._paging import AsyncPager
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.memberships_pb2 import (
    CheckMembershipRequest,
    CheckMembershipResponse,
    JoinChannelRequest,
    JoinChannelResponse,
    LeaveChannelRequest,
    LeaveChannelResponse,
    ListMembershipsRequest,
    ListMembershipsResponse,
    ListMembersRequest,
    ListMembersResponse,
    Membership,
)

_JOIN: Final = CommandKind("join_channel", JoinChannelResponse)
_LEAVE: Final = CommandKind("leave_channel", LeaveChannelResponse)
_CHECK: Final = QueryKind("MembershipService.CheckMembership", CheckMembershipResponse)
_LIST_MEMBERS: Final = QueryKind("MembershipService.ListMembers", ListMembersResponse)
_LIST_MEMBERSHIPS: Final = QueryKind("MembershipService.ListMemberships", ListMembershipsResponse)


class Memberships:
    """Who is in which channel; ``client.memberships``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def join(
        self,
        channel_id: str,
        user_id: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> JoinChannelResponse:
        """Makes a user a member of a channel. Already one: ``changed`` is False.

        Args:
            channel_id: which channel.
            user_id: which user.
            fail_if_unchanged: raise MembershipAlreadyExists if the user is a member.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The membership, new or as it was, and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            MembershipAlreadyExists: the user is a member, and that was to fail.
            GaplessError: any other failure.
        """
        request = JoinChannelRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            user_id=user_id,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_JOIN, request, timeout)

    async def leave(
        self,
        channel_id: str,
        user_id: str,
        *,
        fail_if_unchanged: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> LeaveChannelResponse:
        """Ends a membership. Not a member: ``changed`` is False.

        Args:
            channel_id: which channel.
            user_id: which user.
            fail_if_unchanged: raise MembershipNotFound if the user is not a member.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            MembershipNotFound: the user is not a member, and that was to fail.
            GaplessError: any other failure.
        """
        request = LeaveChannelRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            user_id=user_id,
            fail_if_unchanged=fail_if_unchanged,
        )
        return await self._calls.submit(_LEAVE, request, timeout)

    async def check(
        self, channel_id: str, user_id: str, *, timeout: float | None = None
    ) -> Membership | None:
        """Returns the membership of a user in a channel, or None if there is none.

        Args:
            channel_id: which channel.
            user_id: which user.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = CheckMembershipRequest(channel_id=channel_id, user_id=user_id)
        response = await self._calls.query(_CHECK, request, timeout)
        return response.membership if response.is_member else None

    def list_members(
        self, channel_id: str, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[Membership]:
        """Lists the members of a channel, by user id.

        Args:
            channel_id: which channel.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            ChannelNotFound: while iterating, if there is no such channel.
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListMembersRequest(channel_id=channel_id, page_size=page_size or 0)
        return AsyncPager(
            self._calls, _LIST_MEMBERS, request, lambda page: page.memberships, timeout
        )

    def list_for_user(
        self, user_id: str, *, page_size: int | None = None, timeout: float | None = None
    ) -> AsyncPager[Membership]:
        """Lists the memberships of a user, by channel id.

        Args:
            user_id: which user.
            page_size: how many a page, up to 1,000. None: the service's default.
            timeout: seconds for each page. None: the client's.

        Raises:
            GaplessError: while iterating, if a page can not be read.
        """
        request = ListMembershipsRequest(user_id=user_id, page_size=page_size or 0)
        return AsyncPager(
            self._calls, _LIST_MEMBERSHIPS, request, lambda page: page.memberships, timeout
        )
