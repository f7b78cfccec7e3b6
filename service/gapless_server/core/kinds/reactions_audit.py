"""Recounts the reactions to messages."""

from __future__ import annotations

from collections import defaultdict

from google.protobuf.message import Message

from gapless.v1 import messages_pb2, reactions_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment

# Written out here as well: an audit does not believe the decider's limit.
_EMOJI_PER_MESSAGE_MAX = 64


class ReactionAuditor(Auditor):
    """Recounts that reactions are a set.

    1. A reaction is only added where it is absent, and only removed where it is present.
    2. A message never has more than 64 different emoji.
    """

    def __init__(self) -> None:
        super().__init__()
        # By channel and message: the users of each emoji; an emoji without users is left out.
        self._users: defaultdict[tuple[str, str], dict[str, set[str]]] = defaultdict(dict)

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case reactions_pb2.ReactionAdded():
                self._added(event, moment)
            case reactions_pb2.ReactionRemoved():
                self._removed(event, moment)
            case messages_pb2.MessageDeleted():
                self._users.pop((event.channel_id, event.message_id), None)

    def _added(self, event: reactions_pb2.ReactionAdded, moment: Moment) -> None:
        emoji = self._users[event.channel_id, event.message_id]
        users = emoji.setdefault(event.emoji, set())
        if event.user_id in users:
            self.breach(moment, f"{_named(event)} is added and is already there")
        users.add(event.user_id)
        if len(emoji) > _EMOJI_PER_MESSAGE_MAX:
            self.breach(
                moment,
                f"message {event.message_id} in channel {event.channel_id} has {len(emoji)}"
                f" different emoji, at most {_EMOJI_PER_MESSAGE_MAX} are allowed",
            )

    def _removed(self, event: reactions_pb2.ReactionRemoved, moment: Moment) -> None:
        emoji = self._users[event.channel_id, event.message_id]
        users = emoji.get(event.emoji, set())
        if event.user_id not in users:
            self.breach(moment, f"{_named(event)} is removed and is not there")
        users.discard(event.user_id)
        if not users:
            emoji.pop(event.emoji, None)


def _named(event: reactions_pb2.ReactionAdded | reactions_pb2.ReactionRemoved) -> str:
    return (
        f"reaction {event.emoji} of user {event.user_id} to message {event.message_id}"
        f" in channel {event.channel_id}"
    )
