"""Part C: the service is killed at any moment and started again."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless import Client, Entry
from gapless.testing import SubprocessServer
from gapless.v1.events_pb2 import Entry as EntryMessage
from gapless.v1.events_pb2 import Event
from tests.scenarios.busy_clients import CHANNELS, Acknowledged, Report, busy_clients
from tests.scenarios.processes import Place

# More for a long run: GAPLESS_KILLS=50.
KILLS = int(os.environ.get("GAPLESS_KILLS", "8"))
CLIENTS = 4
# The service does some work between two kills, and is then killed within so many seconds.
ENTRIES_BETWEEN_KILLS = 100
MOMENT_SECONDS_MAX = 0.3


def kill_again_and_again(server: SubprocessServer, watcher: Client, chance: random.Random) -> None:
    """Kills the service at random moments of its work, and starts it again each time."""
    with watcher.events.watch(from_start=True) as watch:
        entries = (item for item in watch if isinstance(item, Entry))
        for _ in range(KILLS):
            for _ in range(ENTRIES_BETWEEN_KILLS):
                next(entries)
            # Not to wait for something: to come at any moment, in a commit or between two.
            threading.Event().wait(chance.uniform(0, MOMENT_SECONDS_MAX))
            server.kill()
            server.start()


def events_of(entries: list[EntryMessage], name: str) -> Iterator[Event]:
    for entry in entries:
        for event in entry.events:
            if event.WhichOneof("event") == name:
                yield event


def gaps(entries: list[EntryMessage]) -> list[str]:
    """Names every place where a number is missing, comes twice, or is out of order."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    numbers["positions"] = [entry.position for entry in entries]
    for event in events_of(entries, "message_posted"):
        posted = event.message_posted
        numbers[f"channel {posted.channel_id}"].append(posted.sequence)
    for event in events_of(entries, "reply_posted"):
        reply = event.reply_posted
        numbers[f"thread {reply.parent_message_id}"].append(reply.thread_sequence)
    return [name for name, given in numbers.items() if given != list(range(1, len(given) + 1))]


def is_in(log: dict[int, EntryMessage], command: Acknowledged) -> bool:
    """Whether the log has a command where its answer said, with what its answer said."""
    entry = log.get(command.position)
    if entry is None or not command.changed:
        return entry is not None and not entry.events and entry.request_id == command.request_id
    [event] = entry.events
    happened = getattr(event, str(event.WhichOneof("event")))
    return entry.request_id == command.request_id and all(
        getattr(happened, name) == value for name, value in command.said
    )


def figures(seed: int, entries: list[EntryMessage], reports: list[Report]) -> dict[str, int]:
    """Counts what came of it; all from "lost" on must be 0."""
    acknowledged = [command for report in reports for command in report.acknowledged]
    log = {entry.position: entry for entry in entries}
    times = Counter(entry.request_id for entry in entries)
    shown = [(entry.position, entry.request_id) for entry in entries]
    return {
        "seed": seed,
        "kills": KILLS,
        "clients": len(reports),
        "acknowledged": len(acknowledged),
        "sent_again": sum(command.replayed for command in acknowledged),
        "lost": sum(not is_in(log, command) for command in acknowledged),
        "gaps": len(gaps(entries)),
        "twice": sum(count > 1 for count in times.values()),
        "never_acknowledged": len(times) - len(acknowledged) - len(CHANNELS),
        "watches_wrong": sum(report.watched != shown for report in reports),
    }


@pytest.mark.timeout(60 + 20 * KILLS)
def test_c4_a_service_killed_at_any_moment_loses_nothing_doubles_nothing_and_leaves_no_gap(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("GAPLESS_SEED", random.SystemRandom().randrange(10**9)))
    with SubprocessServer(directory=tmp_path) as server, server.client("c4") as client:
        for channel_id in CHANNELS:
            client.channels.create(channel_id)
        with busy_clients(Place(server.address, "c4"), CLIENTS, seed) as clients:
            kill_again_and_again(server, client, random.Random(seed))
            clients.stop()
            clients.settled()
            entries = [entry.message for entry in client.events.read(page_size=1000)]
            reports = clients.reports(head_position=entries[-1].position)
    assert [report.failure for report in reports] == [""] * CLIENTS
    seen = figures(seed, entries, reports)
    print(json.dumps(seen))  # noqa: T201 - a run that fails can be repeated with its seed

    wrong = ("lost", "gaps", "twice", "never_acknowledged", "watches_wrong")
    assert {name: seen[name] for name in wrong} == dict.fromkeys(wrong, 0)
