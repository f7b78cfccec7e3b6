"""Lines of Slack's events for tests."""

from __future__ import annotations

import json
from typing import Any

from gapless_server.slack.events import SlackEvent, parse_event


def line(ts: str, **fields: Any) -> str:
    """Returns a line about channel C1."""
    return json.dumps({"type": "message", "channel": "C1", "ts": ts, **fields})


def message(ts: str, **fields: Any) -> str:
    """Returns the line of a message that U1 posts."""
    return line(ts, **{"user": "U1", "text": f"text {ts}", **fields})


def edit(ts: str, of: str, **fields: Any) -> str:
    """Returns the line of an edit."""
    changed = {"type": "message", "user": "U1", "ts": of, "text": "edited", **fields}
    return line(ts, subtype="message_changed", message=changed)


def deletion(ts: str, of: str) -> str:
    """Returns the line of a deletion."""
    return line(ts, subtype="message_deleted", deleted_ts=of)


def report(ts: str, parent: str, replies: list[Any], count: Any = None) -> str:
    """Returns the line in which Slack reports a thread."""
    thread = {
        "ts": parent,
        "thread_ts": parent,
        "reply_count": len(replies) if count is None else count,
        "replies": [{"user": "U1", "ts": reply} for reply in replies],
    }
    return line(ts, subtype="message_replied", message=thread)


def events(*lines: str) -> list[SlackEvent]:
    """Returns what the lines say."""
    return [event for one in lines for event in parse_event(one)]
