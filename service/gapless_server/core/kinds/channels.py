"""Channels: decides, evolves and reads them, and keeps the head of each one's sequence."""

from __future__ import annotations

import msgspec

from gapless.v1 import channels_pb2, errors_pb2
from gapless_server.core.kernel import Context, Decision, Kind, Unmet
from gapless_server.core.kinds.channels_audit import ChannelAuditor
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.state import Moment, PartitionedTable, SequenceTable, State, UndoLog
from gapless_server.core.times import optional_timestamp_bytes, timestamp_bytes, to_timestamp
from gapless_server.core.writing import Written, writer

# The largest int64: what a sequence can be at most on the wire and in the log.
SEQUENCE_MAX = 2**63 - 1

# All channels of a namespace are one partition, so that they can be listed in order.
ALL = ""

_UPDATABLE = ("title", "attributes")

_write_channel = writer(channels_pb2.Channel)
_write_get_response = writer(channels_pb2.GetChannelResponse)


class ChannelRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A channel, all but the head of its sequence, which changes with every message."""

    title: str
    attributes: tuple[tuple[str, str], ...]
    first_sequence: int
    create_time_us: int
    update_time_us: int
    archive_time_us: int  # 0 while the channel is open


class ChannelTables:
    """The channels, and apart from them what has a sequence in each: the ids of the messages."""

    def __init__(self, undo: UndoLog) -> None:
        self.channels: PartitionedTable[str, str, ChannelRow] = PartitionedTable(undo, ChannelRow)
        self.sequences: SequenceTable[str, str] = SequenceTable(undo, str)


def sorted_attributes(attributes: object) -> tuple[tuple[str, str], ...]:
    """Returns the pairs of a protobuf map in the order of the keys: equal maps become equal."""
    return tuple(sorted(attributes.items())) if attributes else ()  # type: ignore[attr-defined]


def require_channel(state: State, channel_id: str) -> ChannelRow:
    """Returns the row of a channel. Raises Refused, reason CHANNEL_NOT_FOUND."""
    row = state.of(ChannelTables).channels.get(ALL, channel_id)
    if row is None:
        raise Refused(errors_pb2.ERROR_REASON_CHANNEL_NOT_FOUND, channel_id=channel_id)
    return row


def next_sequence(state: State, channel_id: str) -> int:
    """Returns the sequence that the channel's next message gets.

    Raises Refused: CHANNEL_NOT_FOUND, CHANNEL_ARCHIVED or SEQUENCE_EXHAUSTED.
    """
    require_open(require_channel(state, channel_id), channel_id)
    head = head_sequence(state, channel_id)
    if head == SEQUENCE_MAX:
        raise Refused(
            errors_pb2.ERROR_REASON_SEQUENCE_EXHAUSTED, channel_id=channel_id, head_sequence=head
        )
    return head + 1


def require_open(row: ChannelRow, channel_id: str) -> None:
    """Raises Refused, reason CHANNEL_ARCHIVED, if the channel takes no new messages."""
    if row.archive_time_us:
        raise Refused(errors_pb2.ERROR_REASON_CHANNEL_ARCHIVED, channel_id=channel_id)


def head_sequence(state: State, channel_id: str) -> int:
    """Returns the sequence of an existing channel's newest message; first - 1 if there is none."""
    head = state.of(ChannelTables).sequences.head(channel_id)
    assert head is not None  # begun together with the row
    return head


def take_sequence(state: State, channel_id: str, sequence: int, message_id: str) -> None:
    """Records that a message took the channel's next sequence. Raises GapError if it did not."""
    state.of(ChannelTables).sequences.append(channel_id, sequence, message_id)


def _written(state: State, channel_id: str, row: ChannelRow) -> bytes:
    return _write_channel(
        channel_id=channel_id,
        title=row.title,
        attributes=row.attributes,
        first_sequence=row.first_sequence,
        head_sequence=head_sequence(state, channel_id),
        create_time=timestamp_bytes(row.create_time_us),
        update_time=timestamp_bytes(row.update_time_us),
        archive_time=optional_timestamp_bytes(row.archive_time_us),
    )


def _resource(state: State, channel_id: str, row: ChannelRow) -> channels_pb2.Channel:
    return channels_pb2.Channel.FromString(_written(state, channel_id, row))


def _create(state: State, command: channels_pb2.CreateChannelRequest, context: Context) -> Decision:
    first = command.first_sequence if command.HasField("first_sequence") else 1
    channel_id = command.channel_id or context.new_id()
    row = state.of(ChannelTables).channels.get(ALL, channel_id)
    if row is None:
        time_us = context.moment.time_us
        created = channels_pb2.ChannelCreated(
            channel_id=channel_id,
            title=command.title,
            attributes=command.attributes,
            first_sequence=first,
        )
        channel = channels_pb2.Channel(
            channel_id=channel_id,
            title=command.title,
            attributes=command.attributes,
            first_sequence=first,
            head_sequence=first - 1,
            create_time=to_timestamp(time_us),
            update_time=to_timestamp(time_us),
        )
        return Decision([created], channels_pb2.CreateChannelResponse(channel=channel))
    differing = [
        name
        for name, same in (
            ("title", row.title == command.title),
            ("attributes", row.attributes == sorted_attributes(command.attributes)),
            ("first_sequence", row.first_sequence == first),
        )
        if not same
    ]
    if differing:
        raise Refused(
            errors_pb2.ERROR_REASON_CHANNEL_ALREADY_EXISTS,
            channel_id=channel_id,
            fields=", ".join(differing),
        )
    channel = _resource(state, channel_id, row)
    return Decision([], channels_pb2.CreateChannelResponse(channel=channel))


def _update(state: State, command: channels_pb2.UpdateChannelRequest, context: Context) -> Decision:
    paths = list(command.update_mask.paths)
    unknown = [path for path in paths if path not in _UPDATABLE]
    if unknown or not paths:
        found = ", ".join(unknown) or "nothing"
        raise invalid_field("update_mask", f"must name title, attributes or both, found {found}")
    row = require_channel(state, command.channel_id)
    title = command.title if "title" in paths else row.title
    attributes = row.attributes
    if "attributes" in paths:
        attributes = sorted_attributes(command.attributes)
    channel = _resource(state, command.channel_id, row)
    if (title, attributes) == (row.title, row.attributes):
        return Decision([], channels_pb2.UpdateChannelResponse(channel=channel))
    updated = channels_pb2.ChannelUpdated(
        channel_id=command.channel_id, title=title, attributes=dict(attributes)
    )
    channel.title = title
    channel.attributes.clear()
    channel.attributes.update(attributes)
    channel.update_time.CopyFrom(to_timestamp(context.moment.time_us))
    return Decision([updated], channels_pb2.UpdateChannelResponse(channel=channel))


def _archive(
    state: State, command: channels_pb2.ArchiveChannelRequest, context: Context
) -> Decision:
    row = require_channel(state, command.channel_id)
    channel = _resource(state, command.channel_id, row)
    if row.archive_time_us:
        return Decision([], channels_pb2.ArchiveChannelResponse(channel=channel))
    archived = channels_pb2.ChannelArchived(
        channel_id=command.channel_id, head_sequence=channel.head_sequence
    )
    channel.archive_time.CopyFrom(to_timestamp(context.moment.time_us))
    return Decision([archived], channels_pb2.ArchiveChannelResponse(channel=channel))


def _created(state: State, event: channels_pb2.ChannelCreated, moment: Moment) -> None:
    tables = state.of(ChannelTables)
    row = ChannelRow(
        title=event.title,
        attributes=sorted_attributes(event.attributes),
        first_sequence=event.first_sequence,
        create_time_us=moment.time_us,
        update_time_us=moment.time_us,
        archive_time_us=0,
    )
    tables.channels.put(ALL, event.channel_id, row)
    tables.sequences.begin(event.channel_id, event.first_sequence)


def _updated(state: State, event: channels_pb2.ChannelUpdated, moment: Moment) -> None:
    row = msgspec.structs.replace(
        require_channel(state, event.channel_id),
        title=event.title,
        attributes=sorted_attributes(event.attributes),
        update_time_us=moment.time_us,
    )
    state.of(ChannelTables).channels.put(ALL, event.channel_id, row)


def _archived(state: State, event: channels_pb2.ChannelArchived, moment: Moment) -> None:
    row = require_channel(state, event.channel_id)
    row = msgspec.structs.replace(row, archive_time_us=moment.time_us)
    state.of(ChannelTables).channels.put(ALL, event.channel_id, row)


def _head_is(state: State, guard: channels_pb2.ChannelHeadGuard) -> Unmet | None:
    head = state.of(ChannelTables).sequences.head(guard.channel_id)
    if head == guard.head_sequence:
        return None
    return Unmet(
        f"channel {guard.channel_id}",
        f"head sequence {guard.head_sequence}",
        "no such channel" if head is None else f"head sequence {head}",
    )


def _get(state: State, request: channels_pb2.GetChannelRequest, _limits: PageLimits) -> Written:
    channel_id = request.channel_id
    channel = _written(state, channel_id, require_channel(state, channel_id))
    return Written(channels_pb2.GetChannelResponse, _write_get_response(channel=channel))


def _list(state: State, request: channels_pb2.ListChannelsRequest, limits: PageLimits) -> Written:
    rows = state.of(ChannelTables).channels.scan(ALL, after=read_token(request, str))

    def write(channel_id: str, row: ChannelRow) -> bytes:
        return _written(state, channel_id, row)

    return written_page(request, limits, rows, write, channels_pb2.ListChannelsResponse, "channels")


KIND = Kind(
    name="channels",
    tables=(ChannelTables,),
    commands={
        channels_pb2.CreateChannelRequest: _create,
        channels_pb2.UpdateChannelRequest: _update,
        channels_pb2.ArchiveChannelRequest: _archive,
    },
    guards={channels_pb2.ChannelHeadGuard: _head_is},
    events={
        channels_pb2.ChannelCreated: _created,
        channels_pb2.ChannelUpdated: _updated,
        channels_pb2.ChannelArchived: _archived,
    },
    queries={
        channels_pb2.GetChannelRequest: _get,
        channels_pb2.ListChannelsRequest: _list,
    },
    auditors=(ChannelAuditor,),
)
