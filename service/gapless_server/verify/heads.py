"""What the events of channels and threads add up to, against what the state says."""

from __future__ import annotations

from typing import Final

from gapless.v1.channels_pb2 import GetChannelRequest, GetChannelResponse
from gapless.v1.events_pb2 import Entry
from gapless.v1.messages_pb2 import GetMessageRequest, GetMessageResponse
from gapless_server.core.kernel import Kernel
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State

# Single resources are asked for, never pages.
_LIMITS: Final = PageLimits()

_Thread = tuple[str, str]


class HeadCount:
    """Counts from the events alone, and asks the state through the queries that serve clients."""

    def __init__(self) -> None:
        self._channels: dict[str, int] = {}
        self._thread_heads: dict[_Thread, int] = {}
        self._reply_counts: dict[_Thread, int] = {}

    def observe(self, entry: Entry) -> None:
        """Takes the next entry."""
        for event in entry.events:
            match event.WhichOneof("event"):
                case "channel_created":
                    created = event.channel_created
                    self._channels[created.channel_id] = created.first_sequence - 1
                case "message_posted":
                    posted = event.message_posted
                    self._channels[posted.channel_id] = posted.sequence
                case "reply_posted":
                    reply = event.reply_posted
                    thread = (reply.channel_id, reply.parent_message_id)
                    self._thread_heads[thread] = reply.thread_sequence
                    self._reply_counts[thread] = self._reply_counts.get(thread, 0) + 1
                    if reply.sequence:
                        self._channels[reply.channel_id] = reply.sequence
                case "message_deleted":
                    deleted = event.message_deleted
                    thread = (deleted.channel_id, deleted.parent_message_id)
                    if thread in self._reply_counts:
                        self._reply_counts[thread] -= 1

    def differences(self, kernel: Kernel, state: State) -> list[str]:
        """Returns a sentence for each number in which the state is not the sum of its events."""
        found = []
        for channel_id, head in self._channels.items():
            stated = _channel_head(kernel, state, channel_id)
            if stated != head:
                found.append(
                    f"channel {channel_id}: its events end at sequence {head}, the state that"
                    f" they give says {stated}"
                )
        for thread, head in self._thread_heads.items():
            counted = (head, self._reply_counts[thread])
            in_state = _thread_counts(kernel, state, thread)
            if in_state != counted:
                found.append(
                    f"thread of message {thread[1]} in channel {thread[0]}: its events end at"
                    f" sequence {counted[0]} with {counted[1]} replies, the state that they give"
                    f" says {in_state[0]} with {in_state[1]}"
                )
        return found


def _channel_head(kernel: Kernel, state: State, channel_id: str) -> int | None:
    try:
        answer = kernel.query(state, GetChannelRequest(channel_id=channel_id), _LIMITS)
    except Refused:
        return None
    assert isinstance(answer, GetChannelResponse)
    return answer.channel.head_sequence


def _thread_counts(kernel: Kernel, state: State, thread: _Thread) -> tuple[int | None, int | None]:
    channel_id, parent_id = thread
    request = GetMessageRequest(channel_id=channel_id, message_id=parent_id)
    try:
        answer = kernel.query(state, request, _LIMITS)
    except Refused:
        return None, None
    assert isinstance(answer, GetMessageResponse)
    return answer.message.thread.head_sequence, answer.message.thread.reply_count
