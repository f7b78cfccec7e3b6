"""Recounts the ids, versions and deletions of messages."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import messages_pb2, reactions_pb2, threads_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment

_MessageKey = tuple[str, str]


class MessageAuditor(Auditor):
    """Recounts that messages are what the events about them take them to be.

    1. No message id stands twice in a channel.
    2. Edits, deletions, replies and reactions are about a message that exists and is not deleted.
    3. Versions are 1, 2, 3 and so on.
    4. Nothing is a reply to a reply, and a deletion names the parent of what it deletes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._versions: dict[_MessageKey, int] = {}
        self._parents: dict[_MessageKey, str] = {}  # of replies only
        self._deleted: set[_MessageKey] = set()

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case messages_pb2.MessagePosted():
                self._posted((event.channel_id, event.message_id), moment)
            case threads_pb2.ReplyPosted():
                self._replied(event, moment)
            case messages_pb2.MessageEdited():
                key = (event.channel_id, event.message_id)
                self._require_live(key, "is edited", moment)
                self._count_version(key, event.version, moment)
            case messages_pb2.MessageDeleted():
                self._deleted_now(event, moment)
            case reactions_pb2.ReactionAdded() | reactions_pb2.ReactionRemoved():
                key = (event.channel_id, event.message_id)
                self._require_live(key, "gets or loses a reaction", moment)

    def _posted(self, key: _MessageKey, moment: Moment) -> None:
        if key in self._versions:
            self.breach(moment, f"message {_named(key)} is posted again")
        self._versions[key] = 1

    def _replied(self, event: threads_pb2.ReplyPosted, moment: Moment) -> None:
        parent = (event.channel_id, event.parent_message_id)
        self._require_live(parent, "is replied to", moment)
        if parent in self._parents:
            self.breach(moment, f"message {_named(parent)} is replied to and is itself a reply")
        key = (event.channel_id, event.message_id)
        self._posted(key, moment)
        self._parents[key] = event.parent_message_id

    def _deleted_now(self, event: messages_pb2.MessageDeleted, moment: Moment) -> None:
        key = (event.channel_id, event.message_id)
        self._require_live(key, "is deleted", moment)
        self._count_version(key, event.version, moment)
        self._deleted.add(key)
        parent_id = self._parents.get(key, "")
        if event.parent_message_id != parent_id:
            self.breach(
                moment,
                f"message {_named(key)} is deleted as a reply to"
                f" {event.parent_message_id!r}, its parent is {parent_id!r}",
            )

    def _require_live(self, key: _MessageKey, what: str, moment: Moment) -> None:
        if key not in self._versions:
            self.breach(moment, f"message {_named(key)} {what} and was never posted")
        elif key in self._deleted:
            self.breach(moment, f"message {_named(key)} {what} and is already deleted")

    def _count_version(self, key: _MessageKey, version: int, moment: Moment) -> None:
        last = self._versions.get(key, 0)
        if version != last + 1:
            self.breach(moment, f"message {_named(key)}: version {version} follows {last}")
        self._versions[key] = version


def _named(key: _MessageKey) -> str:
    channel_id, message_id = key
    return f"{message_id} in channel {channel_id}"
