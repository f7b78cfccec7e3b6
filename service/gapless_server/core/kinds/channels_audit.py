"""Recounts the sequences of channels."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import channels_pb2, messages_pb2, threads_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


class ChannelAuditor(Auditor):
    """Recounts that channels number what is posted to them without a gap (G1).

    1. The sequences of a channel are dense from its first_sequence, in the order of the log.
    2. Nothing is posted to an archived channel.
    3. Whatever happens in a channel happens after it was created, and that is once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heads: dict[str, int] = {}
        self._archived: set[str] = set()

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case channels_pb2.ChannelCreated():
                if event.channel_id in self._heads:
                    self.breach(moment, f"channel {event.channel_id} is created again")
                self._heads[event.channel_id] = event.first_sequence - 1
                return
            case messages_pb2.MessagePosted():
                self._posted(event.channel_id, event.sequence, moment)
            case threads_pb2.ReplyPosted():
                # 0 stands for a reply that is not shown in the channel.
                self._posted(event.channel_id, event.sequence or None, moment)
            case channels_pb2.ChannelArchived():
                self._archive(event, moment)
        channel_id = getattr(event, "channel_id", None)
        if channel_id is not None and channel_id not in self._heads:
            self.breach(moment, f"channel {channel_id} was never created")

    def _posted(self, channel_id: str, sequence: int | None, moment: Moment) -> None:
        if channel_id in self._archived:
            self.breach(moment, f"channel {channel_id} is archived and takes a message")
        head = self._heads.get(channel_id)
        if sequence is None or head is None:
            return
        if sequence != head + 1:
            self.breach(moment, f"channel {channel_id}: sequence {sequence} follows {head}")
        self._heads[channel_id] = sequence

    def _archive(self, event: channels_pb2.ChannelArchived, moment: Moment) -> None:
        channel_id = event.channel_id
        if channel_id in self._archived:
            self.breach(moment, f"channel {channel_id} is archived again")
        self._archived.add(channel_id)
        head = self._heads.get(channel_id)
        if head is not None and event.head_sequence != head:
            self.breach(
                moment,
                f"channel {channel_id} is archived at sequence {event.head_sequence},"
                f" its last is {head}",
            )
