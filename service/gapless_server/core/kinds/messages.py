"""Messages: posts, edits, tombstones, and the lists of what has a channel sequence."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Literal, Protocol

import msgspec

from gapless.v1 import common_pb2, errors_pb2, messages_pb2
from gapless_server.core.kernel import Context, Decision, Kind
from gapless_server.core.kinds.channels import (
    ChannelTables,
    next_sequence,
    require_channel,
    sorted_attributes,
    take_sequence,
)
from gapless_server.core.kinds.messages_audit import MessageAuditor
from gapless_server.core.kinds.messages_runs import POST_RUNS
from gapless_server.core.kinds.messages_tables import MessageRow as MessageRow
from gapless_server.core.kinds.messages_tables import MessageTables as MessageTables
from gapless_server.core.kinds.messages_tables import ThreadRow as ThreadRow
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.plain import plain
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import optional_timestamp_bytes, timestamp_bytes
from gapless_server.core.writing import Written, writer

# Posting is what is asked for most by far.
PostMessageRequest = plain(messages_pb2.PostMessageRequest)
MessagePosted = plain(messages_pb2.MessagePosted)
PostMessageResponse = plain(messages_pb2.PostMessageResponse)

_write_message = writer(messages_pb2.Message)
_write_body = writer(common_pb2.Body)
_write_summary = writer(messages_pb2.ThreadSummary)
_write_get_response = writer(messages_pb2.GetMessageResponse)


def require_message(state: State, channel_id: str, message_id: str) -> MessageRow:
    """Returns the row of a message or tombstone.

    Raises Refused: CHANNEL_NOT_FOUND or MESSAGE_NOT_FOUND.
    """
    row = state.of(MessageTables).messages.get(channel_id, message_id)
    if row is None:
        require_channel(state, channel_id)
        raise Refused(
            errors_pb2.ERROR_REASON_MESSAGE_NOT_FOUND, channel_id=channel_id, message_id=message_id
        )
    return row


def require_live_message(state: State, channel_id: str, message_id: str) -> MessageRow:
    """Returns the row of a message that is not deleted.

    Raises Refused: CHANNEL_NOT_FOUND, MESSAGE_NOT_FOUND or MESSAGE_DELETED.
    """
    row = require_message(state, channel_id, message_id)
    if row.delete_time_us:
        raise Refused(
            errors_pb2.ERROR_REASON_MESSAGE_DELETED, channel_id=channel_id, message_id=message_id
        )
    return row


def new_message_id(state: State, channel_id: str, asked: str, context: Context) -> str:
    """Returns the id for a new message: the one asked for, if it is free, or a made one.

    Raises Refused, reason MESSAGE_ALREADY_EXISTS.
    """
    if not asked:
        return context.new_id()
    if state.of(MessageTables).messages.get(channel_id, asked) is not None:
        raise Refused(
            errors_pb2.ERROR_REASON_MESSAGE_ALREADY_EXISTS, channel_id=channel_id, message_id=asked
        )
    return asked


class _HasContent(Protocol):
    """A command or an event with what somebody wrote."""

    @property
    def body(self) -> common_pb2.Body: ...
    @property
    def attributes(self) -> MutableMapping[str, str]: ...
    def HasField(self, name: Literal["body"]) -> bool: ...  # noqa: N802 - protobuf's name


def copy_content(command: _HasContent, event: _HasContent) -> None:
    """Copies body and attributes; only what is there, since even an empty copy costs time."""
    if command.HasField("body"):
        event.body.CopyFrom(command.body)
    if command.attributes:
        event.attributes.update(command.attributes)


def written_message(state: State, channel_id: str, message_id: str, row: MessageRow) -> bytes:
    """Returns a message as clients see it, as its bytes."""
    thread = state.of(MessageTables).threads.get(channel_id, message_id)
    body = None
    if row.has_body and not row.delete_time_us:
        body = _write_body(data=row.data, content_type=row.content_type)
    return _write_message(
        channel_id=channel_id,
        message_id=message_id,
        sequence=row.sequence,
        sender_id=row.sender_id,
        body=body,
        attributes=row.attributes,
        version=row.version,
        create_time=timestamp_bytes(row.create_time_us),
        edit_time=optional_timestamp_bytes(row.edit_time_us),
        delete_time=optional_timestamp_bytes(row.delete_time_us),
        parent_message_id=row.parent_message_id,
        thread_sequence=row.thread_sequence,
        thread=None if thread is None else _written_summary(thread),
        redact_time=optional_timestamp_bytes(row.redact_time_us),
    )


def _written_summary(thread: ThreadRow) -> bytes:
    return _write_summary(
        reply_count=thread.reply_count,
        head_sequence=thread.head_sequence,
        last_reply_time=optional_timestamp_bytes(thread.live_time_us),
        participant_count=thread.participant_count,
    )


def _require_version(row: MessageRow, command: object) -> None:
    if command.HasField("expected_version") and command.expected_version != row.version:  # type: ignore[attr-defined]
        raise Refused(
            errors_pb2.ERROR_REASON_MESSAGE_VERSION_MISMATCH,
            channel_id=command.channel_id,  # type: ignore[attr-defined]
            message_id=command.message_id,  # type: ignore[attr-defined]
            version=row.version,
            expected_version=command.expected_version,  # type: ignore[attr-defined]
        )


def _post(state: State, command: messages_pb2.PostMessageRequest, context: Context) -> Decision:
    channel_id = command.channel_id
    sequence = next_sequence(state, channel_id)
    message_id = new_message_id(state, channel_id, command.message_id, context)
    posted = MessagePosted(
        channel_id=channel_id,
        message_id=message_id,
        sequence=sequence,
        sender_id=command.sender_id,
        body=command.body,
        attributes=command.attributes,
    )
    response = PostMessageResponse(message_id=message_id, sequence=sequence)
    return Decision([posted], response)


def _edit(state: State, command: messages_pb2.EditMessageRequest, _context: Context) -> Decision:
    row = require_live_message(state, command.channel_id, command.message_id)
    _require_version(row, command)
    edited = messages_pb2.MessageEdited(
        channel_id=command.channel_id,
        message_id=command.message_id,
        version=row.version + 1,
    )
    copy_content(command, edited)
    return Decision([edited], messages_pb2.EditMessageResponse(version=row.version + 1))


def _delete(
    state: State, command: messages_pb2.DeleteMessageRequest, _context: Context
) -> Decision:
    row = require_message(state, command.channel_id, command.message_id)
    if row.delete_time_us:
        if command.fail_if_unchanged:
            require_live_message(state, command.channel_id, command.message_id)
        return Decision([], messages_pb2.DeleteMessageResponse(version=row.version))
    _require_version(row, command)
    deleted = messages_pb2.MessageDeleted(
        channel_id=command.channel_id,
        message_id=command.message_id,
        version=row.version + 1,
        parent_message_id=row.parent_message_id,
    )
    return Decision([deleted], messages_pb2.DeleteMessageResponse(version=row.version + 1))


def _posted(state: State, event: messages_pb2.MessagePosted, moment: Moment) -> None:
    channel_id, message_id, sequence = event.channel_id, event.message_id, event.sequence
    take_sequence(state, channel_id, sequence, message_id)
    body = event.body
    row = MessageRow(
        sequence=sequence,
        sender_id=event.sender_id,
        data=body.data,
        content_type=body.content_type,
        attributes=sorted_attributes(event.attributes),
        version=1,
        create_time_us=moment.time_us,
        has_body=event.HasField("body"),
        post_position=moment.position,
    )
    state.of(MessageTables).messages.put(channel_id, message_id, row)


def _edited(state: State, event: messages_pb2.MessageEdited, moment: Moment) -> None:
    old = require_message(state, event.channel_id, event.message_id)
    row = msgspec.structs.replace(
        old,
        data=event.body.data,
        content_type=event.body.content_type,
        has_body=event.HasField("body"),
        attributes=sorted_attributes(event.attributes),
        version=event.version,
        edit_time_us=moment.time_us,
    )
    tables = state.of(MessageTables)
    tables.messages.put(event.channel_id, event.message_id, row)
    tables.edits.put((event.channel_id, event.message_id), moment.position, True)


def _deleted(state: State, event: messages_pb2.MessageDeleted, moment: Moment) -> None:
    row = msgspec.structs.replace(
        require_message(state, event.channel_id, event.message_id),
        data=b"",
        content_type="",
        attributes=(),
        version=event.version,
        delete_time_us=moment.time_us,
    )
    state.of(MessageTables).messages.put(event.channel_id, event.message_id, row)


def _get(state: State, request: messages_pb2.GetMessageRequest, _limits: PageLimits) -> Written:
    channel_id, message_id = request.channel_id, request.message_id
    row = require_message(state, channel_id, message_id)
    message = written_message(state, channel_id, message_id, row)
    return Written(messages_pb2.GetMessageResponse, _write_get_response(message=message))


def scan_start(last: int | None, start_sequence: int | None, *, descending: bool) -> int | None:
    """Returns the sequence that a page begins with: beside the last one given, or as asked."""
    if last is None:
        return start_sequence
    return last - 1 if descending else last + 1


def _list(state: State, request: messages_pb2.ListMessagesRequest, limits: PageLimits) -> Written:
    channel_id = request.channel_id
    require_channel(state, channel_id)
    descending = request.order == messages_pb2.LIST_ORDER_DESCENDING
    start = request.start_sequence if request.HasField("start_sequence") else None
    first = scan_start(read_token(request, int), start, descending=descending)
    rows = state.of(ChannelTables).sequences.scan(channel_id, first, descending=descending)

    def write(_sequence: int, message_id: str) -> bytes:
        row = require_message(state, channel_id, message_id)
        return written_message(state, channel_id, message_id, row)

    return written_page(request, limits, rows, write, messages_pb2.ListMessagesResponse, "messages")


KIND = Kind(
    name="messages",
    tables=(MessageTables,),
    commands={
        PostMessageRequest: _post,
        messages_pb2.EditMessageRequest: _edit,
        messages_pb2.DeleteMessageRequest: _delete,
    },
    # Any number of reactions goes with a message.
    long_commands=(messages_pb2.DeleteMessageRequest,),
    events={
        MessagePosted: _posted,
        messages_pb2.MessageEdited: _edited,
        messages_pb2.MessageDeleted: _deleted,
    },
    queries={
        messages_pb2.GetMessageRequest: _get,
        messages_pb2.ListMessagesRequest: _list,
    },
    auditors=(MessageAuditor,),
    runs=POST_RUNS,
)
