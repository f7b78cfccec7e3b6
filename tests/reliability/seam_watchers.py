"""Watchers that cross from what is there to what comes, again and again, in every manner."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gapless import AsyncClient, AsyncWatch, CaughtUp, Entry, WatchItem
from gapless.v1.events_pb2 import Event
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from tests.reliability.load_writers import CHANNELS, CONFIG_PREFIX

# A watcher goes on for at most so many entries after it has caught up.
LIVE_ENTRIES_MAX: Final = 200
# A slow watcher rests so often in each watch, for so long: longer than the feed of the test lasts.
RESTS_MAX: Final = 5
REST_SECONDS_MAX: Final = 0.2
CROSSINGS_EACH_MAX: Final = 4

# Keyword arguments of a watch, by name.
FILTERS: Final[dict[str, dict[str, Any]]] = {
    "all": {},
    "channel": {"channel_ids": [CHANNELS[0]]},
    "types": {"event_types": ["message_posted", "lock_expired"]},
    "config": {"config_key_prefixes": [CONFIG_PREFIX]},
}


class Shown(NamedTuple):
    """An entry as a watch gave it, or should have given it."""

    position: int
    request_id: str
    event_types: tuple[str, ...]


@dataclass
class Watched:
    """What one watcher was given, from one cursor on, over all of its watches."""

    name: str
    filter_name: str
    # Entries after this position are wanted; None: not said yet.
    after: int | None
    shown: list[Shown] = field(default_factory=list)
    last_position: int = 0
    crossings: int = 0


def types_of(events: Iterable[Event]) -> tuple[str, ...]:
    return tuple(str(event.WhichOneof("event")) for event in events)


def is_wanted(event: Event, filter_name: str) -> bool:
    """Whether a filter wants an event; told here by other means than the service's."""
    name = str(event.WhichOneof("event"))
    happened = getattr(event, name)
    match filter_name:
        case "channel":
            return getattr(happened, "channel_id", None) == CHANNELS[0]
        case "types":
            return name in ("message_posted", "lock_expired")
        case "config":
            return name == "config_set" and str(happened.key).startswith(CONFIG_PREFIX)
        case _:
            return True


def expected(log: Sequence[StoredEntry], watched: Watched) -> Iterator[Shown]:
    """Yields what the watcher must have been given, from the log on the disk."""
    assert watched.after is not None
    for stored in log[watched.after : watched.last_position]:
        entry = stored.entry
        wanted = [event for event in entry.events if is_wanted(event, watched.filter_name)]
        if wanted or watched.filter_name == "all":
            yield Shown(entry.position, entry.request_id, types_of(wanted))


class SeamWatcher:
    """One watcher; its manners come from chance."""

    def __init__(
        self,
        name: str,
        client: AsyncClient,
        cursors: Sequence[Entry],
        chance: random.Random,
        *,
        may_be_fickle: bool,
    ) -> None:
        self._client = client
        self._chance = chance
        self._is_slow = chance.random() < 0.3
        # Some ask for the next item and give up, and ask again.
        self._is_fickle = may_be_fickle and chance.random() < 0.3
        self._start: dict[str, Any] = {"from_start": True}
        after: int | None = 0
        luck = chance.random()
        if luck < 0.3:
            self._start, after = {"from_now": True}, None
        elif luck < 0.9:
            entry = chance.choice(cursors)
            self._start, after = {"cursor": entry.cursor}, entry.position
        self.watched = Watched(name, chance.choice(sorted(FILTERS)), after)

    async def run(self) -> None:
        """Crosses a few times, with a watch of its own that begins where the last one ended."""
        for _ in range(self._chance.randint(1, CROSSINGS_EACH_MAX)):
            async with self._client.events.watch(
                **self._start, **FILTERS[self.watched.filter_name], timeout=60.0
            ) as watch:
                await self._cross(watch)

    async def _cross(self, watch: AsyncWatch) -> None:
        left = math.inf
        async for item in self._items(watch):
            self._start = {"cursor": item.cursor}
            if isinstance(item, CaughtUp):
                self.watched.crossings += 1
                left = self._chance.randint(0, LIVE_ENTRIES_MAX)
                if self.watched.after is None:
                    self.watched.after = item.position
                # All up to here was looked through, whatever the filter wants.
                self.watched.last_position = max(self.watched.last_position, item.position)
            else:
                left -= 1
                self.watched.last_position = item.position
                types = types_of(item.events)
                self.watched.shown.append(Shown(item.position, item.request_id, types))
            if left <= 0:
                return

    async def _items(self, watch: AsyncWatch) -> Any:
        rests_left = RESTS_MAX if self._is_slow else 0
        while True:
            if rests_left and self._chance.random() < 0.01:
                rests_left -= 1
                # Not to wait for something: to be slow is what this watcher is for.
                await asyncio.sleep(self._chance.uniform(0, REST_SECONDS_MAX))
            yield await self._next(watch)

    async def _next(self, watch: AsyncWatch) -> WatchItem:
        while self._is_fickle and self._chance.random() < 0.02:
            try:
                async with asyncio.timeout(self._chance.uniform(0, 0.01)):
                    return await anext(watch)
            except TimeoutError:
                continue
        return await anext(watch)
