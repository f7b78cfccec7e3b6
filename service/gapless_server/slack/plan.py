"""What Slack's events become: commands for each channel, in order, and what must come of them.

Pure: no clock, no network, and the same events give the same commands with the same request
ids, so that replaying a file again applies nothing twice.

1. A channel is created before its first command.
2. A message's id is Slack's `ts`. Its request id is the `client_msg_id` that the sending client
   chose; for every other event it is made of the channel and the event's own `ts`.
3. A reply whose parent is not in the events gets a placeholder as its parent, so that threads
   stay threads.
4. What is about a message that is not in the events, or already deleted, is left out and counted.
5. Slack's reports of threads are no commands. They say what the count of replies must be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.memberships_pb2 import JoinChannelRequest, LeaveChannelRequest
from gapless.v1.messages_pb2 import DeleteMessageRequest, EditMessageRequest, PostMessageRequest
from gapless.v1.reactions_pb2 import AddReactionRequest, RemoveReactionRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from gapless_server.slack.events import (
    Deleted,
    Edited,
    MembershipChanged,
    Posted,
    Reacted,
    SlackEvent,
    ThreadReported,
)

CONTENT_TYPE: Final = "text/plain; charset=utf-8"
SUBTYPE: Final = "slack.subtype"
CLIENT_MSG_ID: Final = "slack.client_msg_id"
PLACEHOLDER: Final = "slack.placeholder"

# A reply that Slack shows in the channel as well.
_BROADCAST: Final = "thread_broadcast"

Request = (
    CreateChannelRequest
    | PostMessageRequest
    | PostReplyRequest
    | EditMessageRequest
    | DeleteMessageRequest
    | JoinChannelRequest
    | LeaveChannelRequest
    | AddReactionRequest
    | RemoveReactionRequest
)

Thread = tuple[str, str]  # channel, ts of the parent


@dataclass(slots=True)
class Plan:
    """What to send, and what must come of it."""

    commands: dict[str, list[Request]] = field(default_factory=dict)
    """The commands of each channel, in their order."""
    reply_counts: dict[Thread, int] = field(default_factory=dict)
    """Slack's last count of each thread whose parent and replies are all in the events."""
    threads_in_part: int = 0
    """Threads that Slack reported and whose parent or replies are not all in the events."""
    placeholders: int = 0
    """Parents that were not in the events."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many events were left out, by reason."""

    @property
    def command_count(self) -> int:
        """How many commands there are."""
        return sum(map(len, self.commands.values()))


def make_plan(events: Iterable[SlackEvent]) -> Plan:
    """Returns the plan of a whole replay."""
    planner = _Planner()
    for event in events:
        planner.take(event)
    return planner.finish()


def request_id(channel: str, ts: str) -> str:
    """Returns the request id of an event, which Slack tells apart by channel and ts."""
    return f"slack:{channel}:{ts}"


class _Planner:
    def __init__(self) -> None:
        self._plan = Plan()
        self._posted: set[Thread] = set()  # by the events, placeholders not counted
        # Those that can be edited and replied to, placeholders too, with their attributes.
        self._live: dict[Thread, dict[str, str]] = {}
        self._reports: dict[Thread, ThreadReported] = {}
        self._reported_replies: dict[Thread, set[str]] = {}

    def take(self, event: SlackEvent) -> None:
        match event:
            case Posted():
                self._post(event)
            case Edited():
                self._edit(event)
            case Deleted():
                self._delete(event)
            case MembershipChanged():
                self._change_membership(event)
            case Reacted():
                self._react(event)
            case ThreadReported():
                thread = (event.channel, event.parent_ts)
                self._reports[thread] = event
                self._reported_replies.setdefault(thread, set()).update(event.reply_ts)

    def finish(self) -> Plan:
        for thread, report in self._reports.items():
            messages = {report.parent_ts} | self._reported_replies[thread]
            if all((report.channel, ts) in self._posted for ts in messages):
                self._plan.reply_counts[thread] = report.reply_count
            else:
                self._plan.threads_in_part += 1
        return self._plan

    def _add(self, channel: str, request: Request) -> None:
        commands = self._plan.commands.get(channel)
        if commands is None:
            create = CreateChannelRequest(request_id=f"slack:{channel}", channel_id=channel)
            commands = self._plan.commands[channel] = [create]
        commands.append(request)

    def _post(self, event: Posted) -> None:
        message = (event.channel, event.ts)
        if message in self._posted:
            self._plan.left_out["messages that came twice"] += 1
        elif message in self._live:
            self._plan.left_out["messages that came after a reply to them"] += 1
        elif event.parent_ts:
            self._post_reply(event)
        else:
            self._post_message(event)

    def _post_message(self, event: Posted) -> None:
        self._add(
            event.channel,
            PostMessageRequest(
                request_id=event.client_msg_id or request_id(event.channel, event.ts),
                channel_id=event.channel,
                message_id=event.ts,
                sender_id=event.sender,
                body=_body(event.text),
                attributes=_attributes(event),
            ),
        )
        self._note_posted(event)

    def _post_reply(self, event: Posted) -> None:
        parent = (event.channel, event.parent_ts)
        if parent not in self._live:
            if parent in self._posted:
                self._plan.left_out["replies to a deleted message"] += 1
                return
            self._add_placeholder(parent)
        self._add(
            event.channel,
            PostReplyRequest(
                request_id=event.client_msg_id or request_id(event.channel, event.ts),
                channel_id=event.channel,
                parent_message_id=event.parent_ts,
                message_id=event.ts,
                sender_id=event.sender,
                body=_body(event.text),
                attributes=_attributes(event),
                show_in_channel=event.subtype == _BROADCAST,
            ),
        )
        self._note_posted(event)

    def _add_placeholder(self, parent: Thread) -> None:
        channel, ts = parent
        attributes = {PLACEHOLDER: "the parent is not in the imported events"}
        self._add(
            channel,
            PostMessageRequest(
                request_id=f"{request_id(channel, ts)}:placeholder",
                channel_id=channel,
                message_id=ts,
                sender_id="unknown",
                body=_body(""),
                attributes=attributes,
            ),
        )
        self._plan.placeholders += 1
        self._live[parent] = attributes

    def _edit(self, event: Edited) -> None:
        if self._is_live(event.channel, event.message_ts, "edits"):
            self._add(
                event.channel,
                EditMessageRequest(
                    request_id=request_id(event.channel, event.ts),
                    channel_id=event.channel,
                    message_id=event.message_ts,
                    body=_body(event.text),
                    # An edit replaces them all.
                    attributes=self._live[event.channel, event.message_ts],
                ),
            )

    def _delete(self, event: Deleted) -> None:
        if self._is_live(event.channel, event.message_ts, "deletions"):
            self._add(
                event.channel,
                DeleteMessageRequest(
                    request_id=request_id(event.channel, event.ts),
                    channel_id=event.channel,
                    message_id=event.message_ts,
                ),
            )
            del self._live[event.channel, event.message_ts]

    def _change_membership(self, event: MembershipChanged) -> None:
        request_type = JoinChannelRequest if event.joined else LeaveChannelRequest
        self._add(
            event.channel,
            request_type(
                request_id=request_id(event.channel, event.ts),
                channel_id=event.channel,
                user_id=event.user,
            ),
        )

    def _react(self, event: Reacted) -> None:
        if self._is_live(event.channel, event.message_ts, "reactions"):
            request_type = AddReactionRequest if event.added else RemoveReactionRequest
            self._add(
                event.channel,
                request_type(
                    request_id=request_id(event.channel, event.ts),
                    channel_id=event.channel,
                    message_id=event.message_ts,
                    user_id=event.user,
                    emoji=event.emoji,
                ),
            )

    def _note_posted(self, event: Posted) -> None:
        self._posted.add((event.channel, event.ts))
        self._live[event.channel, event.ts] = _attributes(event)

    def _is_live(self, channel: str, ts: str, what: str) -> bool:
        if (channel, ts) in self._live:
            return True
        known = (channel, ts) in self._posted
        self._plan.left_out[f"{what} of {'a deleted' if known else 'an unknown'} message"] += 1
        return False


def _body(text: str) -> Body:
    return Body(data=text.encode(), content_type=CONTENT_TYPE)


def _attributes(event: Posted) -> dict[str, str]:
    known = {SUBTYPE: event.subtype, CLIENT_MSG_ID: event.client_msg_id}
    return {name: value for name, value in known.items() if value}
