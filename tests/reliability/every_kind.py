"""A script of commands of all kinds, and what the service says at its end.

Everything in it is fixed: the same commands give the same answers, except for times. So the
answers of a run that was disturbed can be compared with those of one that was not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from gapless import Client
from gapless.v1.notification_settings_pb2 import NotificationLevel

# Erased in the course of the script: must be in no file at its end.
SECRET: Final = "the-secret-that-is-erased"

Send = Callable[[Client, str], Any]


class Command(NamedTuple):
    """A command of the script: its request id, and how it is sent with a request id."""

    request_id: str
    send: Send


def named(part: str, sends: list[Send]) -> list[Command]:
    """Returns commands with request ids of their own."""
    return [Command(f"{part}-{number}", send) for number, send in enumerate(sends, start=1)]


FIRST: Final = named(
    "first",
    [
        lambda c, r: c.channels.create("red", request_id=r),
        lambda c, r: c.messages.post("red", "ada", "one", message_id="m1", request_id=r),
        lambda c, r: c.messages.post("red", "eve", SECRET, message_id="m2", request_id=r),
        lambda c, r: c.threads.reply("red", "m1", "bob", "reply", message_id="m3", request_id=r),
        lambda c, r: c.messages.edit("red", "m2", f"{SECRET} edited", request_id=r),
        lambda c, r: c.reactions.toggle("red", "m1", "bob", "+1", request_id=r),
        lambda c, r: c.memberships.join("red", "ada", request_id=r),
        lambda c, r: c.read_markers.mark("red", "ada", 2, request_id=r),
        lambda c, r: c.notification_settings.set(
            "red", "ada", NotificationLevel.NOTIFICATION_LEVEL_MENTIONS, request_id=r
        ),
        lambda c, r: c.push_subscriptions.upsert(
            "ada", "https://push.example/1", p256dh_key=b"k" * 65, auth_key=b"a" * 16, request_id=r
        ),
        lambda c, r: c.config.set("limit", "20", request_id=r),
        lambda c, r: c.lists.create("deck", request_id=r),
        lambda c, r: c.list_items.insert("deck", {"a": "A", "b": "B"}, request_id=r),
        lambda c, r: c.pools.create("ports", [range(8000, 8010)], request_id=r),
        lambda c, r: c.reservations.reserve("ports", "web", "http", request_id=r),
        lambda c, r: c.ledgers.create_account("bank", "cent", request_id=r),
        lambda c, r: c.ledgers.create_account("ada", "cent", floor=0, request_id=r),
        lambda c, r: c.ledgers.transfer({"bank": -500, "ada": 500}, transfer_id="t1", request_id=r),
        lambda c, r: c.locks.acquire("till", "ada", ttl=86_400, request_id=r),
    ],
)

ERASURE: Final = named(
    "erasure",
    [lambda c, r: c.erasures.redact_message("red", "m2", "root", reason="asked", request_id=r)],
)


def _batch(client: Client, request_id: str) -> Any:
    with client.batch(request_id=request_id) as batch:
        batch.messages.post("red", "ada", "in a batch", message_id="m6")
        batch.config.set("limit", "60")
        return batch.ledgers.transfer({"bank": -5, "ada": 5}, transfer_id="t2")


LATER: Final = named(
    "later",
    [
        lambda c, r: c.messages.post("red", "ada", "later", message_id="m4", request_id=r),
        lambda c, r: c.messages.post("red", "eve", SECRET, message_id="m5", request_id=r),
        _batch,
        lambda c, r: c.reservations.reserve_group("ports", "game", "match", 3, request_id=r),
        lambda c, r: c.messages.delete("red", "m4", request_id=r),
        lambda c, r: c.erasures.redact_user("red", "eve", "root", reason="asked", request_id=r),
        lambda c, r: c.memberships.leave("red", "ada", request_id=r),
        lambda c, r: c.list_items.move("deck", "b", at_start=True, request_id=r),
    ],
)

LAST: Final = named(
    "last",
    [
        lambda c, r: c.messages.post("red", "ada", "the last", message_id="m9", request_id=r),
        lambda c, r: c.config.set("limit", "90", request_id=r),
    ],
)

OTHER: Final = named(
    "other",
    [
        lambda c, r: c.channels.create("red", request_id=r),
        lambda c, r: c.messages.post("red", "ada", "elsewhere", message_id="m1", request_id=r),
    ],
)

# Differs from run to run: what is a time, what is made of one, and what says that an answer was
# given before.
_VARYING: Final = re.compile(r".*Time$|^fencingToken$|^replayed$|^erased$")


def said(answer: Message) -> Any:
    """Returns what an answer says that must be the same in every run."""
    return _without_varying(MessageToDict(answer))


def _without_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_varying(inner)
            for name, inner in value.items()
            if not _VARYING.match(name)
        }
    if isinstance(value, list):
        return [_without_varying(inner) for inner in value]
    return value


def state_of(client: Client) -> Any:
    """Returns what the service says about everything that the script has made."""
    found: list[Message] = [
        *client.channels.list(),
        *client.messages.list("red"),
        *client.threads.list("red", "m1"),
        *client.reactions.list("red", "m1"),
        *client.memberships.list_members("red"),
        *client.read_markers.list("ada"),
        client.notification_settings.get("red", "ada"),
        *client.push_subscriptions.list("ada"),
        *client.config.list(),
        client.lists.get("deck"),
        client.pools.get("ports"),
        *client.reservations.list("ports"),
        *client.ledgers.list_accounts(),
        *client.locks.list(),
    ]
    return [said(message) for message in found]
