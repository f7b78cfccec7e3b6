"""Recounts that what was erased is gone from the log."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import erasures_pb2, messages_pb2, threads_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment

_Content = messages_pb2.MessagePosted | messages_pb2.MessageEdited | threads_pb2.ReplyPosted


class ErasureAuditor(Auditor):
    """Recounts that no entry that an erasure names has the content still.

    Memory goes with the number of entries that have content: the messages and their edits.
    """

    def __init__(self) -> None:
        super().__init__()
        # The positions with content of each message.
        self._with_content: dict[tuple[str, str], set[int]] = {}

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case (
                messages_pb2.MessagePosted()
                | messages_pb2.MessageEdited()
                | threads_pb2.ReplyPosted()
            ):
                self._posted(event, moment)
            case erasures_pb2.MessageRedacted():
                key = (event.channel_id, event.message_id)
                left = self._with_content.pop(key, set()) & set(event.erased_positions)
                for position in sorted(left):
                    self.breach(
                        moment,
                        f"erased message {event.message_id} of channel {event.channel_id}, whose"
                        f" content stands at position {position}",
                    )

    def _posted(self, event: _Content, moment: Moment) -> None:
        if event.HasField("body") or event.attributes:
            key = (event.channel_id, event.message_id)
            self._with_content.setdefault(key, set()).add(moment.position)
