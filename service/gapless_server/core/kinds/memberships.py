"""Memberships: who is in which channel."""

from __future__ import annotations

from gapless.v1 import errors_pb2, memberships_pb2
from gapless_server.core.kernel import Context, Decision, Kind, Unmet
from gapless_server.core.kinds.channels import require_channel
from gapless_server.core.kinds.memberships_audit import MembershipAuditor
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, PartitionedTable, State, UndoLog
from gapless_server.core.times import timestamp_bytes
from gapless_server.core.writing import Written, writer

_write_membership = writer(memberships_pb2.Membership)


class MembershipTables:
    """When each member joined, twice: by channel, and by user. Both always hold the same."""

    def __init__(self, undo: UndoLog) -> None:
        self.by_channel: PartitionedTable[str, str, int] = PartitionedTable(undo, int)
        self.by_user: PartitionedTable[str, str, int] = PartitionedTable(undo, int)


def _written(channel_id: str, user_id: str, join_time_us: int) -> bytes:
    join_time = timestamp_bytes(join_time_us)
    return _write_membership(channel_id=channel_id, user_id=user_id, join_time=join_time)


def _membership(channel_id: str, user_id: str, join_time_us: int) -> memberships_pb2.Membership:
    return memberships_pb2.Membership.FromString(_written(channel_id, user_id, join_time_us))


def _join(state: State, command: memberships_pb2.JoinChannelRequest, context: Context) -> Decision:
    channel_id, user_id = command.channel_id, command.user_id
    require_channel(state, channel_id)
    join_time_us = state.of(MembershipTables).by_channel.get(channel_id, user_id)
    if join_time_us is None:
        membership = _membership(channel_id, user_id, context.moment.time_us)
        joined = memberships_pb2.MemberJoined(channel_id=channel_id, user_id=user_id)
        return Decision([joined], memberships_pb2.JoinChannelResponse(membership=membership))
    if command.fail_if_unchanged:
        raise Refused(
            errors_pb2.ERROR_REASON_MEMBERSHIP_ALREADY_EXISTS,
            channel_id=channel_id,
            user_id=user_id,
        )
    membership = _membership(channel_id, user_id, join_time_us)
    return Decision([], memberships_pb2.JoinChannelResponse(membership=membership))


def _leave(
    state: State, command: memberships_pb2.LeaveChannelRequest, _context: Context
) -> Decision:
    channel_id, user_id = command.channel_id, command.user_id
    require_channel(state, channel_id)
    if state.of(MembershipTables).by_channel.get(channel_id, user_id) is not None:
        left = memberships_pb2.MemberLeft(channel_id=channel_id, user_id=user_id)
        return Decision([left], memberships_pb2.LeaveChannelResponse())
    if command.fail_if_unchanged:
        raise Refused(
            errors_pb2.ERROR_REASON_MEMBERSHIP_NOT_FOUND, channel_id=channel_id, user_id=user_id
        )
    return Decision([], memberships_pb2.LeaveChannelResponse())


def _joined(state: State, event: memberships_pb2.MemberJoined, moment: Moment) -> None:
    tables = state.of(MembershipTables)
    tables.by_channel.put(event.channel_id, event.user_id, moment.time_us)
    tables.by_user.put(event.user_id, event.channel_id, moment.time_us)


def _left(state: State, event: memberships_pb2.MemberLeft, _moment: Moment) -> None:
    tables = state.of(MembershipTables)
    tables.by_channel.delete(event.channel_id, event.user_id)
    tables.by_user.delete(event.user_id, event.channel_id)


def _is_member(state: State, guard: memberships_pb2.MembershipGuard) -> Unmet | None:
    if state.of(MembershipTables).by_channel.get(guard.channel_id, guard.user_id) is not None:
        return None
    return Unmet(f"channel {guard.channel_id}", f"user {guard.user_id} as a member", "no member")


def _check(
    state: State, request: memberships_pb2.CheckMembershipRequest, _limits: PageLimits
) -> memberships_pb2.CheckMembershipResponse:
    channel_id, user_id = request.channel_id, request.user_id
    require_channel(state, channel_id)
    join_time_us = state.of(MembershipTables).by_channel.get(channel_id, user_id)
    if join_time_us is None:
        return memberships_pb2.CheckMembershipResponse(is_member=False)
    return memberships_pb2.CheckMembershipResponse(
        is_member=True, membership=_membership(channel_id, user_id, join_time_us)
    )


def _list_members(
    state: State, request: memberships_pb2.ListMembersRequest, limits: PageLimits
) -> Written:
    channel_id = request.channel_id
    require_channel(state, channel_id)
    rows = state.of(MembershipTables).by_channel.scan(channel_id, after=read_token(request, str))

    def write(user_id: str, time_us: int) -> bytes:
        return _written(channel_id, user_id, time_us)

    return written_page(
        request, limits, rows, write, memberships_pb2.ListMembersResponse, "memberships"
    )


def _list_memberships(
    state: State, request: memberships_pb2.ListMembershipsRequest, limits: PageLimits
) -> Written:
    user_id = request.user_id
    rows = state.of(MembershipTables).by_user.scan(user_id, after=read_token(request, str))

    def write(channel_id: str, time_us: int) -> bytes:
        return _written(channel_id, user_id, time_us)

    return written_page(
        request, limits, rows, write, memberships_pb2.ListMembershipsResponse, "memberships"
    )


KIND = Kind(
    name="memberships",
    tables=(MembershipTables,),
    commands={
        memberships_pb2.JoinChannelRequest: _join,
        memberships_pb2.LeaveChannelRequest: _leave,
    },
    guards={memberships_pb2.MembershipGuard: _is_member},
    events={
        memberships_pb2.MemberJoined: _joined,
        memberships_pb2.MemberLeft: _left,
    },
    queries={
        memberships_pb2.CheckMembershipRequest: _check,
        memberships_pb2.ListMembersRequest: _list_members,
        memberships_pb2.ListMembershipsRequest: _list_memberships,
    },
    auditors=(MembershipAuditor,),
)
