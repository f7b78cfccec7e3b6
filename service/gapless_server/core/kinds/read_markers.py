"""Read markers: how far a user has read in a channel, and what that leaves unread.

Unread is head minus marker, computed when asked: exact, because a channel's sequence has no gaps.
"""

from __future__ import annotations

from dataclasses import replace

from gapless.v1 import read_markers_pb2
from gapless_server.core.kernel import Context, Decision, Kind
from gapless_server.core.kinds.channels import head_sequence, require_channel
from gapless_server.core.kinds.memberships import MembershipTables
from gapless_server.core.kinds.read_markers_audit import ReadMarkerAuditor
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.state import Moment, State, Table, UndoLog
from gapless_server.core.writing import Written, writer

_write_marker = writer(read_markers_pb2.ReadMarker)
_write_get_response = writer(read_markers_pb2.GetReadMarkerResponse)


class ReadMarkerTables:
    """By channel and user: the last sequence that counts as read. No row: nothing does."""

    def __init__(self, undo: UndoLog) -> None:
        self.sequences: Table[tuple[str, str], int] = Table(undo, int)


def _marker_sequence(state: State, channel_id: str, user_id: str) -> int:
    """Returns the last sequence that counts as read. Raises Refused, reason CHANNEL_NOT_FOUND."""
    first_sequence = require_channel(state, channel_id).first_sequence
    sequence = state.of(ReadMarkerTables).sequences.get((channel_id, user_id))
    return first_sequence - 1 if sequence is None else sequence


def _written(state: State, channel_id: str, user_id: str, sequence: int) -> bytes:
    head = head_sequence(state, channel_id)
    return _write_marker(
        channel_id=channel_id,
        user_id=user_id,
        sequence=sequence,
        head_sequence=head,
        unread_count=head - sequence,
    )


def _marker(
    state: State, channel_id: str, user_id: str, sequence: int
) -> read_markers_pb2.ReadMarker:
    return read_markers_pb2.ReadMarker.FromString(_written(state, channel_id, user_id, sequence))


def _mark(state: State, command: read_markers_pb2.MarkReadRequest, _context: Context) -> Decision:
    channel_id, user_id = command.channel_id, command.user_id
    old = _marker_sequence(state, channel_id, user_id)
    new = min(command.sequence, head_sequence(state, channel_id))
    if new <= old:
        marker = _marker(state, channel_id, user_id, old)
        return Decision([], read_markers_pb2.MarkReadResponse(marker=marker))
    marked = read_markers_pb2.ReadMarked(channel_id=channel_id, user_id=user_id, sequence=new)
    marker = _marker(state, channel_id, user_id, new)
    return Decision([marked], read_markers_pb2.MarkReadResponse(marker=marker))


def _marked(state: State, event: read_markers_pb2.ReadMarked, _moment: Moment) -> None:
    sequences = state.of(ReadMarkerTables).sequences
    sequences.put((event.channel_id, event.user_id), event.sequence)


def _get(
    state: State, request: read_markers_pb2.GetReadMarkerRequest, _limits: PageLimits
) -> Written:
    channel_id, user_id = request.channel_id, request.user_id
    sequence = _marker_sequence(state, channel_id, user_id)
    marker = _written(state, channel_id, user_id, sequence)
    return Written(read_markers_pb2.GetReadMarkerResponse, _write_get_response(marker=marker))


def _list(
    state: State, request: read_markers_pb2.ListReadMarkersRequest, limits: PageLimits
) -> Written:
    user_id = request.user_id
    rows = state.of(MembershipTables).by_user.scan(user_id, after=read_token(request, str))

    def write(channel_id: str, _join_time_us: int) -> bytes:
        sequence = _marker_sequence(state, channel_id, user_id)
        return _written(state, channel_id, user_id, sequence)

    # All channels of a user are wanted in one call, so a page is as long as it may be.
    limits = replace(limits, page_items_default=limits.page_items_max)
    return written_page(
        request, limits, rows, write, read_markers_pb2.ListReadMarkersResponse, "markers"
    )


KIND = Kind(
    name="read_markers",
    tables=(ReadMarkerTables,),
    commands={read_markers_pb2.MarkReadRequest: _mark},
    events={read_markers_pb2.ReadMarked: _marked},
    queries={
        read_markers_pb2.GetReadMarkerRequest: _get,
        read_markers_pb2.ListReadMarkersRequest: _list,
    },
    auditors=(ReadMarkerAuditor,),
)
