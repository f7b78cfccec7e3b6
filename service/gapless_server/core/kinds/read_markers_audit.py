"""Recounts the read markers."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import channels_pb2, messages_pb2, read_markers_pb2, threads_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


class ReadMarkerAuditor(Auditor):
    """Recounts that a read marker only moves forward, and never beyond its channel's head."""

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[str, int] = {}
        self._heads: dict[str, int] = {}
        self._markers: dict[tuple[str, str], int] = {}

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case channels_pb2.ChannelCreated():
                self._first[event.channel_id] = event.first_sequence
                self._heads[event.channel_id] = event.first_sequence - 1
            case messages_pb2.MessagePosted():
                self._heads[event.channel_id] = event.sequence
            case threads_pb2.ReplyPosted() if event.sequence:
                self._heads[event.channel_id] = event.sequence
            case read_markers_pb2.ReadMarked():
                self._marked(event, moment)

    def _marked(self, event: read_markers_pb2.ReadMarked, moment: Moment) -> None:
        marker = (event.channel_id, event.user_id)
        unmarked = self._first.get(event.channel_id, 1) - 1
        old = self._markers.get(marker, unmarked)
        where = f"read marker of user {event.user_id} in channel {event.channel_id}"
        if event.sequence <= old:
            self.breach(moment, f"{where} moves from {old} to {event.sequence}, not forward")
        head = self._heads.get(event.channel_id, unmarked)
        if event.sequence > head:
            self.breach(moment, f"{where} is at {event.sequence}, beyond the head {head}")
        self._markers[marker] = event.sequence
