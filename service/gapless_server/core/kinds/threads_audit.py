"""Recounts the sequences of threads."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import threads_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


class ThreadAuditor(Auditor):
    """Recounts that the sequences of a thread are dense from 1, in the order of the log (G1)."""

    def __init__(self) -> None:
        super().__init__()
        self._heads: dict[tuple[str, str], int] = {}

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        if not isinstance(event, threads_pb2.ReplyPosted):
            return
        thread = (event.channel_id, event.parent_message_id)
        head = self._heads.get(thread, 0)
        if event.thread_sequence != head + 1:
            self.breach(
                moment,
                f"thread of message {event.parent_message_id} in channel {event.channel_id}:"
                f" sequence {event.thread_sequence} follows {head}",
            )
        self._heads[thread] = event.thread_sequence
