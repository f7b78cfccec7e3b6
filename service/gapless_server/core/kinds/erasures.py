"""Erasures: content of messages that has to be gone, from the state and from the log."""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from gapless.v1 import erasures_pb2, messages_pb2, threads_pb2
from gapless_server.core.kernel import Context, Decision, Erasure, Kind
from gapless_server.core.kinds.channels import require_channel
from gapless_server.core.kinds.erasures_audit import ErasureAuditor
from gapless_server.core.kinds.messages import MessageRow, MessageTables, require_message
from gapless_server.core.state import Moment, State

# One command holds up others no longer than this: each erasure is a round read and written anew.
MESSAGES_ERASED_MAX: Final = 100
MESSAGES_SEEN_MAX: Final = 1000


def _positions(state: State, channel_id: str, message_id: str, row: MessageRow) -> list[int]:
    """Returns the positions that have the content; none if it was erased, or never had any.

    A message that was edited or deleted shows no longer what it had when it was posted.
    """
    shows_all = not row.edit_time_us and not row.delete_time_us
    if shows_all and not row.has_body and not row.attributes:
        return []
    posted = [row.post_position] if row.post_position else []
    edits = state.of(MessageTables).edits.scan((channel_id, message_id))
    return [*posted, *(position for position, _ in edits)]


def _redacted(
    command: erasures_pb2.RedactMessageRequest | erasures_pb2.RedactUserRequest,
    message_id: str,
    positions: list[int],
) -> erasures_pb2.MessageRedacted:
    return erasures_pb2.MessageRedacted(
        channel_id=command.channel_id,
        message_id=message_id,
        requested_by=command.requested_by,
        reason=command.reason,
        erased_positions=positions,
    )


def _redact_message(
    state: State, command: erasures_pb2.RedactMessageRequest, _context: Context
) -> Decision:
    row = require_message(state, command.channel_id, command.message_id)
    positions = _positions(state, command.channel_id, command.message_id, row)
    events = [_redacted(command, command.message_id, positions)] if positions else []
    return Decision(events, erasures_pb2.RedactMessageResponse())


def _redact_user(
    state: State, command: erasures_pb2.RedactUserRequest, _context: Context
) -> Decision:
    require_channel(state, command.channel_id)
    after = command.after_message_id or None
    rows = state.of(MessageTables).messages.scan(command.channel_id, after)
    events: list[erasures_pb2.MessageRedacted] = []
    seen_last, seen = "", 0
    for message_id, row in islice(rows, MESSAGES_SEEN_MAX):
        seen_last, seen = message_id, seen + 1
        if row.sender_id != command.sender_id:
            continue
        if positions := _positions(state, command.channel_id, message_id, row):
            events.append(_redacted(command, message_id, positions))
            if len(events) == MESSAGES_ERASED_MAX:
                break
    may_have_more = seen == MESSAGES_SEEN_MAX or len(events) == MESSAGES_ERASED_MAX
    response = erasures_pb2.RedactUserResponse(
        message_ids=[event.message_id for event in events],
        next_after_message_id=seen_last if may_have_more else "",
    )
    return Decision(events, response)


def _erased(state: State, event: erasures_pb2.MessageRedacted, moment: Moment) -> None:
    row = msgspec.structs.replace(
        require_message(state, event.channel_id, event.message_id),
        data=b"",
        content_type="",
        attributes=(),
        has_body=False,
        post_position=0,
        redact_time_us=moment.time_us,
    )
    tables = state.of(MessageTables)
    tables.messages.put(event.channel_id, event.message_id, row)
    tables.edits.drop((event.channel_id, event.message_id))


def _content(old: object) -> tuple[str, str] | None:
    """Returns the channel and the id of the message that an event has the content of."""
    match old:
        case (
            messages_pb2.MessagePosted() | messages_pb2.MessageEdited() | threads_pb2.ReplyPosted()
        ):
            return old.channel_id, old.message_id
    return None


def _clear(old: messages_pb2.MessagePosted) -> None:
    old.ClearField("body")
    old.ClearField("attributes")


KIND = Kind(
    name="erasures",
    commands={
        erasures_pb2.RedactMessageRequest: _redact_message,
        erasures_pb2.RedactUserRequest: _redact_user,
    },
    events={erasures_pb2.MessageRedacted: _erased},
    erases={
        erasures_pb2.MessageRedacted: Erasure(
            positions=lambda event: event.erased_positions,
            erases=lambda event: (event.channel_id, event.message_id),
            content=_content,
            clear=_clear,
        ),
    },
    auditors=(ErasureAuditor,),
)
