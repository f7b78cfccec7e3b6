"""Makes the sample of Slack events that `gapless demo` replays: nobody's words, one seed.

The events have the form that `gapless import` reads: one JSON object a line, in the order of
arrival, with threads and Slack's own reports of them, edits, deletions, reactions and
memberships. The same seed and count give the same file, byte for byte.

    python tools/make_sample_events.py            writes the file
    python tools/make_sample_events.py --check    exits non-zero if the file is not what it writes
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent.parent / "service/gapless_server/data/sample-events.jsonl"

SEED = 20_240_108
EVENTS = 4_000
CHANNELS = 24
USERS = 60
FIRST_SECOND = 1_704_700_800  # a Monday morning
# How many of the newest messages of a channel are answered, edited, deleted and reacted to.
RECENT_MESSAGES = 40

SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
EMOJI = ("thumbsup", "tada", "eyes", "heart", "rocket", "thinking_face")

Event = dict[str, Any]
Action = Callable[[str], Iterator[Event]]


@dataclass
class Message:
    """A message that later events may be about."""

    ts: str
    user: str
    text: str
    thread_ts: str = ""
    replies: list[Message] = field(default_factory=list)


class Workspace:
    """Makes up what people do, one action at a time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret, the same every time
        self.microseconds = FIRST_SECOND * 1_000_000
        self.channels = [f"C{number:08d}" for number in range(1, CHANNELS + 1)]
        # Like in real workspaces, a few channels have most of the traffic.
        self.weights = [1 / rank for rank in range(1, CHANNELS + 1)]
        self.users = [f"U{number:08d}" for number in range(1, USERS + 1)]
        self.messages: dict[str, list[Message]] = {channel: [] for channel in self.channels}
        self.reactions: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def act(self) -> Iterator[Event]:
        """Yields the events of one action."""
        channel = self.random.choices(self.channels, self.weights)[0]
        if not self.messages[channel]:
            yield from self._join(channel)
            yield from self._post(channel)
            return
        actions: dict[Action, int] = {
            self._post: 52,
            self._reply: 22,
            self._react: 10,
            self._edit: 7,
            self._join: 4,
            self._delete: 2,
            self._leave: 1,
            self._post_by_bot: 1,
            self._reply_to_old: 1,
        }
        action = self.random.choices(list(actions), list(actions.values()))[0]
        yield from action(channel)

    def _post(self, channel: str) -> Iterator[Event]:
        message = Message(self._next_ts(), self._user(), self._text())
        self.messages[channel].append(message)
        yield self._event(channel, ts=message.ts, **self._content(message))

    def _post_by_bot(self, channel: str) -> Iterator[Event]:
        yield self._event(channel, subtype="bot_message", bot_id="B00000001", text=self._text())

    def _reply(self, channel: str) -> Iterator[Event]:
        parent = self._recent(channel)
        reply = Message(self._next_ts(), self._user(), self._text(), parent.ts)
        parent.replies.append(reply)
        yield self._event(channel, ts=reply.ts, thread_ts=parent.ts, **self._content(reply))
        yield self._event(
            channel, subtype="message_replied", hidden=True, message=self._thread(parent)
        )

    def _reply_to_old(self, channel: str) -> Iterator[Event]:
        """A reply to a message from before the first event."""
        old_ts = f"{FIRST_SECOND - self.random.randrange(1, 86_400)}.000100"
        reply = Message(self._next_ts(), self._user(), self._text())
        yield self._event(channel, ts=reply.ts, thread_ts=old_ts, **self._content(reply))

    def _edit(self, channel: str) -> Iterator[Event]:
        message = self._recent(channel)
        before = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts}
        message.text = self._text()
        yield self._event(
            channel,
            subtype="message_changed",
            hidden=True,
            message={**before, "text": message.text},
            previous_message=before,
        )

    def _delete(self, channel: str) -> Iterator[Event]:
        parent = self._recent(channel)
        if parent.replies:
            reply = parent.replies.pop(self.random.randrange(len(parent.replies)))
            yield self._deletion(channel, reply)
            yield self._event(
                channel, subtype="message_changed", hidden=True, message=self._thread(parent)
            )
        elif len(self.messages[channel]) > 1:
            self.messages[channel].remove(parent)
            yield self._deletion(channel, parent)

    def _deletion(self, channel: str, message: Message) -> Event:
        return self._event(channel, subtype="message_deleted", hidden=True, deleted_ts=message.ts)

    def _react(self, channel: str) -> Iterator[Event]:
        message = self._recent(channel)
        reaction = (self._user(), self.random.choice(EMOJI))
        there = self.reactions.setdefault((channel, message.ts), set())
        kind = "reaction_removed" if reaction in there else "reaction_added"
        there ^= {reaction}
        user, emoji = reaction
        yield {
            "type": kind,
            "user": user,
            "reaction": emoji,
            "item": {"type": "message", "channel": channel, "ts": message.ts},
            "item_user": message.user,
            "event_ts": self._next_ts(),
        }

    def _join(self, channel: str) -> Iterator[Event]:
        user = self._user()
        yield self._event(
            channel, subtype="channel_join", user=user, text=f"<@{user}> has joined the channel"
        )

    def _leave(self, channel: str) -> Iterator[Event]:
        user = self._user()
        yield self._event(
            channel, subtype="channel_leave", user=user, text=f"<@{user}> has left the channel"
        )

    def _event(self, channel: str, *, ts: str = "", **fields: object) -> Event:
        return {"type": "message", "channel": channel, "ts": ts or self._next_ts(), **fields}

    def _content(self, message: Message) -> Event:
        client_msg_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        return {"user": message.user, "text": message.text, "client_msg_id": client_msg_id}

    def _thread(self, parent: Message) -> Event:
        return {
            "type": "message",
            "user": parent.user,
            "text": parent.text,
            "ts": parent.ts,
            "thread_ts": parent.ts,
            "reply_count": len(parent.replies),
            "replies": [{"user": reply.user, "ts": reply.ts} for reply in parent.replies],
        }

    def _recent(self, channel: str) -> Message:
        return self.random.choice(self.messages[channel][-RECENT_MESSAGES:])

    def _user(self) -> str:
        return self.random.choice(self.users)

    def _next_ts(self) -> str:
        self.microseconds += self.random.randrange(1_000, 120_000_000)
        return f"{self.microseconds // 1_000_000}.{self.microseconds % 1_000_000:06d}"

    def _text(self) -> str:
        words = [
            "".join(self.random.choices(SYLLABLES, k=self.random.randint(1, 3)))
            for _ in range(self.random.randint(2, 16))
        ]
        return " ".join(words).capitalize() + self.random.choice((".", "!", "?", " 🎉", ""))


def make_events(seed: int, count: int) -> list[Event]:
    """Returns at least `count` events; the last action is whole."""
    workspace = Workspace(seed)
    events: list[Event] = []
    while len(events) < count:
        events += workspace.act()
    return events


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--events", type=int, default=EVENTS, help="how many at least")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    arguments = parser.parse_args()
    events = make_events(arguments.seed, arguments.events)
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    if arguments.check:
        if arguments.output.read_text(encoding="utf-8") != text:
            sys.exit(f"{arguments.output} is not fresh; run python {sys.argv[0]}")
        return
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text, encoding="utf-8")
    kinds = Counter(event.get("subtype", event["type"]) for event in events)
    print(f"{arguments.output}: {len(events)} events, {len(text.encode())} bytes, {dict(kinds)}")


if __name__ == "__main__":
    main()
