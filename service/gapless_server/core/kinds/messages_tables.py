"""The rows and tables of messages, and of what they know about the replies to them."""

from __future__ import annotations

import msgspec

from gapless_server.core.state import PartitionedTable, UndoLog


class MessageRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message, a reply, or the tombstone of either."""

    sequence: int  # 0 for a reply that is not shown in the channel
    sender_id: str
    data: bytes
    content_type: str
    attributes: tuple[tuple[str, str], ...]
    version: int
    create_time_us: int
    edit_time_us: int = 0  # 0: never
    delete_time_us: int = 0  # 0: not deleted
    parent_message_id: str = ""  # empty: not a reply
    thread_sequence: int = 0  # 0: not a reply
    has_body: bool = True
    # Where in the log the content stands that was posted; 0 once it was erased.
    post_position: int = 0
    redact_time_us: int = 0  # 0: never


class ThreadRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a message knows about the replies to it."""

    head_sequence: int
    reply_count: int  # replies that are not deleted
    participant_count: int  # users with replies that are not deleted
    live_sequence: int  # of the newest reply that is not deleted; 0 if there is none
    live_time_us: int  # when that one was posted


class MessageTables:
    """Messages by channel and id, and the threads below them.

    `edits` has, by channel and message, where in the log what it was edited to stands, until that
    is erased. Not in the row, so that an edit costs the same however many there were.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.edits: PartitionedTable[tuple[str, str], int, bool] = PartitionedTable(undo, bool)
        self.messages: PartitionedTable[str, str, MessageRow] = PartitionedTable(undo, MessageRow)
        self.threads: PartitionedTable[str, str, ThreadRow] = PartitionedTable(undo, ThreadRow)
