"""Part E: streams of events."""

from __future__ import annotations

from functools import partial
from typing import Any

from gapless import Client, Entry
from gapless.v1.events_pb2 import Entry as EntryMessage
from tests.scenarios.processes import Place, at_once

GENERAL = "general"
WRITERS = 3
POSTS_EACH = 100
# The channel, and what the writers post and react.
HEAD_POSITION = 1 + 2 * WRITERS * POSTS_EACH


def write(client: Client, name: str) -> None:
    for n in range(POSTS_EACH):
        posted = client.messages.post(GENERAL, name, f"{name} {n}")
        client.reactions.add(GENERAL, posted.message_id, name, "thumbsup")


def watch(client: Client) -> list[EntryMessage]:
    """Watches from the start until everything that is to come has come."""
    seen: list[EntryMessage] = []
    with client.events.watch(from_start=True) as stream:
        for item in stream:
            if isinstance(item, Entry):
                seen.append(item.message)
                if item.position == HEAD_POSITION:
                    break
    return seen


def test_e10_three_event_streams_at_once_see_every_event_in_the_same_order(
    place: Place, client: Client
) -> None:
    client.channels.create(GENERAL)
    writers: list[Any] = [partial(write, name=f"writer{n}") for n in range(WRITERS)]

    streams = at_once(place, [watch, *writers, watch, watch])[:1]
    streams += at_once(place, [watch, watch])

    log = [entry.message for entry in client.events.read()]
    assert [entry.position for entry in log] == list(range(1, HEAD_POSITION + 1))
    for stream in streams:
        assert stream == log
