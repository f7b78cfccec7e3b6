"""Threads: replies, their own sequence, and what the parent knows about them."""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2, messages_pb2, threads_pb2
from gapless_server.core.kernel import Context, Decision, Kind
from gapless_server.core.kinds.channels import (
    next_sequence,
    require_channel,
    require_open,
    sorted_attributes,
    take_sequence,
)
from gapless_server.core.kinds.messages import (
    MessageRow,
    MessageTables,
    ThreadRow,
    new_message_id,
    require_live_message,
    require_message,
    scan_start,
    written_message,
)
from gapless_server.core.kinds.threads_audit import ThreadAuditor
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.plain import plain
from gapless_server.core.refusals import Refused
from gapless_server.core.state import (
    Moment,
    PartitionedTable,
    SequenceTable,
    State,
    UndoLog,
)
from gapless_server.core.writing import Written, writer

# Replies are messages, and as many of them come.
PostReplyRequest = plain(threads_pb2.PostReplyRequest)
ReplyPosted = plain(threads_pb2.ReplyPosted)
PostReplyResponse = plain(threads_pb2.PostReplyResponse)

_write_participant = writer(threads_pb2.ThreadParticipant)

_EMPTY = ThreadRow(
    head_sequence=0, reply_count=0, participant_count=0, live_sequence=0, live_time_us=0
)


class ThreadTables:
    """By channel and parent: the ids of the replies by thread sequence, and who wrote how many.

    `live` has the time of each reply that is not deleted, by its thread sequence: so the newest one
    is found at once, however many after it are deleted.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.replies: SequenceTable[tuple[str, str], str] = SequenceTable(undo, str)
        self.live: PartitionedTable[tuple[str, str], int, int] = PartitionedTable(undo, int)
        self.participants: PartitionedTable[tuple[str, str], str, int] = PartitionedTable(undo, int)


def _thread(state: State, channel_id: str, parent_id: str) -> ThreadRow:
    return state.of(MessageTables).threads.get(channel_id, parent_id) or _EMPTY


def _reply(state: State, command: threads_pb2.PostReplyRequest, context: Context) -> Decision:
    channel_id, parent_id = command.channel_id, command.parent_message_id
    require_open(require_channel(state, channel_id), channel_id)
    parent = require_live_message(state, channel_id, parent_id)
    if parent.parent_message_id:
        raise Refused(
            errors_pb2.ERROR_REASON_PARENT_IS_REPLY,
            channel_id=channel_id,
            message_id=parent_id,
            parent_message_id=parent.parent_message_id,
        )
    sequence = next_sequence(state, channel_id) if command.show_in_channel else 0
    message_id = new_message_id(state, channel_id, command.message_id, context)
    thread = _thread(state, channel_id, parent_id)
    posted = ReplyPosted(
        channel_id=channel_id,
        parent_message_id=parent_id,
        message_id=message_id,
        thread_sequence=thread.head_sequence + 1,
        sequence=sequence,
        sender_id=command.sender_id,
        body=command.body,
        attributes=command.attributes,
    )
    response = PostReplyResponse(
        message_id=message_id,
        thread_sequence=posted.thread_sequence,
        sequence=sequence,
        reply_count=thread.reply_count + 1,
    )
    return Decision([posted], response)


def _posted(state: State, event: threads_pb2.ReplyPosted, moment: Moment) -> None:
    thread = _thread(state, event.channel_id, event.parent_message_id)
    _keep_reply(state, event, moment)
    _count_reply(state, event, thread, moment)


def _keep_reply(state: State, event: threads_pb2.ReplyPosted, moment: Moment) -> None:
    channel_id, parent_id = event.channel_id, event.parent_message_id
    tables, key = state.of(ThreadTables), (channel_id, parent_id)
    tables.replies.append(key, event.thread_sequence, event.message_id)
    tables.live.put(key, event.thread_sequence, moment.time_us)
    if event.sequence:
        take_sequence(state, channel_id, event.sequence, event.message_id)
    row = MessageRow(
        sequence=event.sequence,
        sender_id=event.sender_id,
        data=event.body.data,
        content_type=event.body.content_type,
        attributes=sorted_attributes(event.attributes),
        version=1,
        create_time_us=moment.time_us,
        parent_message_id=parent_id,
        thread_sequence=event.thread_sequence,
        has_body=event.HasField("body"),
        post_position=moment.position,
    )
    state.of(MessageTables).messages.put(channel_id, event.message_id, row)


def _count_reply(
    state: State, event: threads_pb2.ReplyPosted, thread: ThreadRow, moment: Moment
) -> None:
    key = (event.channel_id, event.parent_message_id)
    participants = state.of(ThreadTables).participants
    written = participants.get(key, event.sender_id) or 0
    participants.put(key, event.sender_id, written + 1)
    thread = ThreadRow(
        head_sequence=event.thread_sequence,
        reply_count=thread.reply_count + 1,
        participant_count=thread.participant_count + (0 if written else 1),
        live_sequence=event.thread_sequence,
        live_time_us=moment.time_us,
    )
    state.of(MessageTables).threads.put(*key, thread)


def _deleted(state: State, event: messages_pb2.MessageDeleted, _moment: Moment) -> None:
    """A deleted reply no longer counts; its number and its tombstone stay."""
    if not event.parent_message_id:
        return
    key = (event.channel_id, event.parent_message_id)
    messages, tables = state.of(MessageTables), state.of(ThreadTables)
    reply = require_message(state, event.channel_id, event.message_id)
    written = tables.participants.get(key, reply.sender_id) or 0
    if written > 1:
        tables.participants.put(key, reply.sender_id, written - 1)
    else:
        tables.participants.delete(key, reply.sender_id)
    thread = _thread(state, *key)
    thread = msgspec.structs.replace(
        thread,
        reply_count=thread.reply_count - 1,
        participant_count=thread.participant_count - (0 if written > 1 else 1),
    )
    tables.live.delete(key, reply.thread_sequence)
    if reply.thread_sequence == thread.live_sequence:
        sequence, time_us = tables.live.last(key) or (0, 0)
        thread = msgspec.structs.replace(thread, live_sequence=sequence, live_time_us=time_us)
    messages.threads.put(*key, thread)


def _list(state: State, request: threads_pb2.ListRepliesRequest, limits: PageLimits) -> Written:
    channel_id = request.channel_id
    require_message(state, channel_id, request.parent_message_id)
    descending = request.order == messages_pb2.LIST_ORDER_DESCENDING
    start = request.start_sequence if request.HasField("start_sequence") else None
    first = scan_start(read_token(request, int), start, descending=descending)
    key = (channel_id, request.parent_message_id)
    rows = state.of(ThreadTables).replies.scan(key, first, descending=descending)

    def write(_sequence: int, message_id: str) -> bytes:
        row = require_message(state, channel_id, message_id)
        return written_message(state, channel_id, message_id, row)

    return written_page(request, limits, rows, write, threads_pb2.ListRepliesResponse, "replies")


def _list_participants(
    state: State, request: threads_pb2.ListThreadParticipantsRequest, limits: PageLimits
) -> Written:
    require_message(state, request.channel_id, request.parent_message_id)
    key = (request.channel_id, request.parent_message_id)
    rows = state.of(ThreadTables).participants.scan(key, after=read_token(request, str))

    def write(user_id: str, reply_count: int) -> bytes:
        return _write_participant(user_id=user_id, reply_count=reply_count)

    return written_page(
        request, limits, rows, write, threads_pb2.ListThreadParticipantsResponse, "participants"
    )


KIND = Kind(
    name="threads",
    tables=(ThreadTables,),
    commands={PostReplyRequest: _reply},
    events={ReplyPosted: _posted, messages_pb2.MessageDeleted: _deleted},
    queries={
        threads_pb2.ListRepliesRequest: _list,
        threads_pb2.ListThreadParticipantsRequest: _list_participants,
    },
    auditors=(ThreadAuditor,),
)
