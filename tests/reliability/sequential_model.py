"""What commands mean when they come one after another, in plain dictionaries.

Told anew here, from what the protos promise, and not by the service's own core: the sequence of a
channel, the version of a key, who holds a lock, and the numbers of a pool. It also remembers what
each thing was like at which position, for those who read it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from gapless.v1.events_pb2 import Event

CHANNELS: Final = ("red", "green")
KEYS: Final = ("k1", "k2", "k3")
LOCKS: Final = ("l1", "l2")
POOL: Final = "pool"
POOL_SIZE: Final = 40

# A thing that has a state: its kind and its name.
Thing = tuple[str, str | int]


class Violated(Exception):
    """A command had an effect that it cannot have had where it stands in the log."""


class Timeline:
    """What one thing was like from which position on."""

    def __init__(self, value: Any) -> None:
        self._positions = [0]
        self._values = [value]

    @property
    def now(self) -> Any:
        """What it is like."""
        return self._values[-1]

    def change(self, position: int, value: Any) -> None:
        """It is like this from a position on."""
        self._positions.append(position)
        self._values.append(value)

    def first_after(
        self, position: int, last_position: float, is_seen: Callable[[Any], bool]
    ) -> int | None:
        """Returns the first position, of these, at which it was like what somebody saw."""
        index = bisect_right(self._positions, position) - 1
        while index < len(self._positions):
            begins = max(self._positions[index], position)
            if begins > last_position:
                return None
            if is_seen(self._values[index]):
                return begins
            index += 1
        return None


class Model:
    """The state that a log adds up to, command by command."""

    def __init__(self) -> None:
        self.things: dict[Thing, Timeline] = {}
        for channel_id in CHANNELS:
            self.things["channel", channel_id] = Timeline(0)
        for key in KEYS:
            self.things["config", key] = Timeline((0, None))
        for lock_id in LOCKS:
            self.things["lock", lock_id] = Timeline(None)
        for number in range(1, POOL_SIZE + 1):
            self.things["number", number] = Timeline(None)
        self.things["pool", POOL] = Timeline(0)
        self._held: dict[tuple[str, str], int] = {}
        self._last_token = 0

    def run(self, position: int, kind: str, arguments: Sequence[Any], said: Any) -> Any:
        """Runs a command and returns the answer that it must have had.

        `said` is the answer that is on record: what it must only be larger than is taken from it.
        Raises Violated.
        """
        command: Callable[..., Any] = getattr(self, f"_{kind}")
        return command(position, said, *arguments)

    def expire(self, position: int, events: Sequence[Event]) -> None:
        """Takes what ended by itself. Raises Violated."""
        for event in events:
            ended = event.lock_expired
            lock = self.things["lock", ended.lock_id]
            if lock.now != (ended.holder_id, ended.fencing_token):
                raise Violated(f"{ended} expires, and held is {lock.now}")
            lock.change(position, None)

    def _post(self, position: int, _said: Any, channel_id: str) -> int:
        channel = self.things["channel", channel_id]
        channel.change(position, channel.now + 1)
        sequence: int = channel.now
        return sequence

    def _set(self, position: int, _said: Any, key: str, value: str, expected: int | None) -> int:
        config = self.things["config", key]
        version, old = config.now
        if expected is not None and expected != (0 if old is None else version):
            raise Violated(f"{key} was set at version {expected}, and is {config.now}")
        if old != value:
            config.change(position, (version + 1, value))
        return int(config.now[0])

    def _delete(self, position: int, _said: Any, key: str) -> int:
        config = self.things["config", key]
        version, old = config.now
        if old is not None:
            config.change(position, (version + 1, None))
        return int(config.now[0])

    def _acquire(self, position: int, said: int, lock_id: str, holder_id: str, *_how: int) -> int:
        lock = self.things["lock", lock_id]
        if lock.now is not None:
            raise Violated(f"{lock_id} was given to {holder_id} while {lock.now} held it")
        if said <= self._last_token:
            raise Violated(f"token {said} after {self._last_token}")
        self._last_token = said
        lock.change(position, (holder_id, said))
        return said

    def _release(self, position: int, _said: Any, lock_id: str, token: int) -> bool:
        lock = self.things["lock", lock_id]
        is_held = lock.now is not None and lock.now[1] == token
        if is_held:
            lock.change(position, None)
        return is_held

    def _reserve(self, position: int, _said: Any, owner_id: str, key: str) -> int:
        if (owner_id, key) in self._held:
            return self._held[owner_id, key]
        free = self._free()
        number = next(free, None)
        if number is None:
            raise Violated(f"{owner_id} got a number, and none is free")
        self._held[owner_id, key] = number
        self.things["number", number].change(position, (owner_id, key))
        self.things["pool", POOL].change(position, len(self._held))
        return number

    def _free(self) -> Iterator[int]:
        return (
            number
            for number in range(1, POOL_SIZE + 1)
            if self.things["number", number].now is None
        )

    def _give_back(self, position: int, _said: Any, owner_id: str, key: str) -> bool:
        number = self._held.pop((owner_id, key), None)
        if number is None:
            return False
        self.things["number", number].change(position, None)
        self.things["pool", POOL].change(position, len(self._held))
        return True

    def _post_and_set(
        self, position: int, said: Any, channel_id: str, key: str, value: str
    ) -> tuple[int, int]:
        """A batch."""
        return (
            self._post(position, said, channel_id),
            self._set(position, said, key, value, None),
        )
