"""Slack's events as they lie in files: one JSON object a line, in the order of arrival.

Parses the lines that say something about messages, threads, memberships and reactions. What a
line means for the service is decided in `plan`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

# What a line raises that is JSON, and not what Slack sends.
_FAULTS: Final = (
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    OverflowError,
    RecursionError,
)


class BadEvents(Exception):
    """A file or a line is not what it should be; the text says where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A message, or a reply if it has a parent. `ts` is Slack's id of it in its channel."""

    channel: str
    ts: str
    sender: str
    text: str
    parent_ts: str = ""
    client_msg_id: str = ""
    subtype: str = ""


@dataclass(frozen=True, slots=True)
class Edited:
    """A message got a new text. `ts` is the id of this event."""

    channel: str
    ts: str
    message_ts: str
    text: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """A message was deleted. `ts` is the id of this event."""

    channel: str
    ts: str
    message_ts: str


@dataclass(frozen=True, slots=True)
class MembershipChanged:
    """A user joined or left."""

    channel: str
    ts: str
    user: str
    joined: bool


@dataclass(frozen=True, slots=True)
class Reacted:
    """A user added or removed a reaction."""

    channel: str
    ts: str
    message_ts: str
    user: str
    emoji: str
    added: bool


@dataclass(frozen=True, slots=True)
class ThreadReported:
    """Slack's own report of a thread: how many replies it has, and which. Not a command."""

    channel: str
    parent_ts: str
    reply_count: int
    reply_ts: tuple[str, ...]


SlackEvent = Posted | Edited | Deleted | MembershipChanged | Reacted | ThreadReported


def event_files(paths: list[Path]) -> list[Path]:
    """Returns the files to read: those given, and those that end in .jsonl in given folders.

    A folder's files come in the order of their names, which are the days. Raises BadEvents.
    """
    files = []
    for path in paths:
        found = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not found:
            raise BadEvents(f"folder {path} holds no file that ends in .jsonl")
        files += found
    return files


def read_lines(files: list[Path]) -> Iterator[list[SlackEvent]]:
    """Yields what each line of the files says, in order. Raises BadEvents, naming file and line."""
    for path in files:
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _parse_located(line, f"{path}, line {number}")
        except (OSError, UnicodeDecodeError) as error:
            raise BadEvents(f"cannot read {path}: {error}") from error


def _parse_located(line: str, place: str) -> list[SlackEvent]:
    try:
        events = parse_event(line)
        for event in events:
            _require_texts(event)
    except json.JSONDecodeError as error:
        raise BadEvents(f"{place}: not a JSON object: {error}") from error
    except _FAULTS as error:
        raise BadEvents(f"{place}: not an event of Slack's: {error!r}") from error
    return events


def _require_texts(event: SlackEvent) -> None:
    """Raises TypeError or UnicodeEncodeError if what should be a text is none of Unicode."""
    for field in fields(event):
        if field.type in ("bool", "int"):
            continue
        value = getattr(event, field.name)
        for text in value if isinstance(value, tuple) else (value,):
            if not isinstance(text, str):
                raise TypeError(f"{field.name} is {text!r}, expected a text")
            text.encode()


def parse_event(line: str) -> list[SlackEvent]:
    """Returns what a line says: nothing for kinds of events that are not replayed.

    Raises JSONDecodeError, or one of `_FAULTS`.
    """
    event: dict[str, Any] = json.loads(line)
    match event["type"], event.get("subtype"):
        case "message", "message_replied":
            return [_thread_report(event)]
        case "message", "message_changed":
            return _change(event)
        case "message", "message_deleted":
            return [Deleted(event["channel"], event["ts"], event["deleted_ts"])]
        case "message", ("channel_join" | "channel_leave") as subtype:
            joined = subtype == "channel_join"
            return [MembershipChanged(event["channel"], event["ts"], event["user"], joined)]
        case "message", _:
            return [_message(event)]
        case ("reaction_added" | "reaction_removed") as kind, _:
            return _reaction(event, added=kind == "reaction_added")
        case _:
            return []


def _message(event: dict[str, Any]) -> Posted:
    parent_ts = event.get("thread_ts") or ""
    return Posted(
        channel=event["channel"],
        ts=event["ts"],
        # Bots and Slack itself have no user.
        sender=event.get("user") or event.get("bot_id") or "slack",
        text=_text(event),
        parent_ts="" if parent_ts == event["ts"] else parent_ts,
        client_msg_id=event.get("client_msg_id") or "",
        subtype=event.get("subtype") or "",
    )


def _change(event: dict[str, Any]) -> list[SlackEvent]:
    """An edit; and, after a reply was deleted, Slack's new count of the thread as well."""
    message = event["message"]
    changes: list[SlackEvent] = [
        Edited(event["channel"], event["ts"], message["ts"], _text(message))
    ]
    if "reply_count" in message:
        changes.append(_thread_report(event))
    return changes


def _thread_report(event: dict[str, Any]) -> ThreadReported:
    message = event["message"]
    return ThreadReported(
        channel=event["channel"],
        parent_ts=message["ts"],
        reply_count=int(message["reply_count"]),
        reply_ts=tuple(reply["ts"] for reply in message["replies"]),
    )


def _reaction(event: dict[str, Any], *, added: bool) -> list[SlackEvent]:
    item = event["item"]
    if item.get("type") != "message":
        return []  # to a file or a file's comment
    return [
        Reacted(
            item["channel"], event["event_ts"], item["ts"], event["user"], event["reaction"], added
        )
    ]


def _text(message: dict[str, Any]) -> str:
    # JSON can hold half a surrogate pair, which no encoding of Unicode can.
    text: str = message.get("text") or ""
    return text.encode("utf-8", "replace").decode()
