"""The index of request ids: which position a caller's request id was committed at (G3).

Request ids are remembered for ever, so what one costs in memory counts: 27 to 53 bytes here,
against some 200 in a dictionary of strings. The index keeps a 64-bit hash and a position for each,
by open addressing in arrays, in shards that grow one at a time, so that no growth stops the
writer for long. Two different ids may have the same hash: who looks one up compares the entry at
the position with what was asked, and the second of two such ids is kept by its full text.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

from xxhash import xxh3_64_intdigest

from gapless_server.checkpoint.port import REQUEST_SHARDS, RequestPairs, RequestShard
from gapless_server.compiled import AVAILABLE
from gapless_server.core.runs import RequestPlaces

# With 5 million ids a shard has 20,000 and grows in some 10 ms.
_SHARD_MASK = REQUEST_SHARDS - 1
_SHARD_BITS = _SHARD_MASK.bit_length()
_FIRST_CAPACITY = 64
# A shard grows beyond three fifths: longer searches would cost more than the room. While a start
# adds what came after a shard was stored, beyond four: growth of all at once would be long.
_LOAD_NUMERATOR, _LOAD_DENOMINATOR = 3, 5
_START_LOAD_NUMERATOR = 4
# Marks a free slot; a hash that happens to be 0 counts as 1.
_FREE = 0


def request_key(caller: str, request_id: str) -> str:
    """Returns the key of a request id in the scope of its caller.

    Neither holds a control character, so the separator cannot be forged.
    """
    return f"{caller}\0{request_id}" if caller else request_id


def _hash_key(key: str) -> int:
    return xxh3_64_intdigest(key.encode())


class _Shard:
    """Hashes and positions in slots; a search goes from a hash's own slot to the next free one."""

    __slots__ = ("count", "hashes", "mask", "positions")

    def __init__(self, capacity: int = _FIRST_CAPACITY) -> None:
        self.hashes = array("Q", bytes(8 * capacity))
        self.positions = array("Q", bytes(8 * capacity))
        self.mask = capacity - 1
        self.count = 0

    def slot(self, value: int) -> int:
        """Returns the slot that has a hash, or the free one that it would be put into."""
        hashes, mask = self.hashes, self.mask
        slot = (value >> _SHARD_BITS) & mask
        while (found := hashes[slot]) != _FREE and found != value:
            slot = (slot + 1) & mask
        return slot

    def fill(
        self, slot: int, value: int, position: int, load_numerator: int = _LOAD_NUMERATOR
    ) -> None:
        """Puts a hash into its free slot, and makes room for the next one."""
        self.hashes[slot] = value
        self.positions[slot] = position
        self.count += 1
        if (self.count + 1) * _LOAD_DENOMINATOR > (self.mask + 1) * load_numerator:
            self._grow()

    def _grow(self) -> None:
        larger = _Shard(2 * (self.mask + 1))
        hashes, positions, mask = larger.hashes, larger.positions, larger.mask
        # Repeats `slot` without its second question: every request id is moved several times.
        for value, position in zip(self.hashes, self.positions, strict=True):
            if value != _FREE:
                slot = (value >> _SHARD_BITS) & mask
                while hashes[slot] != _FREE:
                    slot = (slot + 1) & mask
                hashes[slot] = value
                positions[slot] = position
        self.hashes, self.positions, self.mask = hashes, positions, mask

    def load(self, stored: RequestShard) -> None:
        """Takes over the slots of a shard that was stored."""
        self.hashes, self.positions = array("Q", stored.hashes), array("Q", stored.positions)
        self.mask = len(self.hashes) - 1
        # With 5 million ids, counting them would take a start a quarter of a second.
        self.count = stored.filled


def _add_pairs(shards: list[_Shard], pairs: array[int], behind: bytes, load_numerator: int) -> None:
    """Adds hashes with positions to the shards that are behind, unless they have them already."""
    values = iter(pairs)
    for value, position in zip(values, values, strict=True):
        if behind[value & _SHARD_MASK]:
            shard = shards[value & _SHARD_MASK]
            slot = shard.slot(value)
            if shard.hashes[slot] == _FREE:
                shard.fill(slot, value, position, load_numerator)


# Both forms do the same.
if AVAILABLE:
    from gapless_server.compiled.shards import Shard, add_pairs
else:
    Shard = _Shard  # type: ignore[assignment,misc]
    add_pairs = _add_pairs  # type: ignore[assignment]


class RequestIndex:
    """Positions by request key, for ever, the pending round included."""

    def __init__(self, hash_key: Callable[[str], int] = _hash_key) -> None:
        self._hash_key = hash_key
        self._shards = [Shard() for _ in range(REQUEST_SHARDS)]
        # Keys whose hash another key has too; nearly always empty.
        self._collided: dict[str, int] = {}
        self._unsaved = RequestPairs()
        # The key that was asked for last, if it is not known, with its hash and its place: what a
        # command is looked up for is, as a rule, to put it there next.
        self._asked: tuple[str, int, Shard, int] | None = None

    def __len__(self) -> int:
        return sum(shard.count for shard in self._shards) + len(self._collided)

    def get(self, key: str) -> int | None:
        """Returns the position of a request, or None if it was never committed.

        The entry there may be another's, whose key has the same hash: compare it.
        """
        if self._collided and key in self._collided:
            return self._collided[key]
        value = self._hash_key(key) or 1
        shard = self._shards[value & _SHARD_MASK]
        # Repeats `slot` instead of calling it: this is asked for every command.
        hashes, mask = shard.hashes, shard.mask
        slot = (value >> _SHARD_BITS) & mask
        while (found := hashes[slot]) != _FREE:
            if found == value:
                return shard.positions[slot]
            slot = (slot + 1) & mask
        self._asked = (key, value, shard, slot)
        return None

    def put(self, key: str, position: int) -> None:
        """Remembers a request that is not known."""
        asked, self._asked = self._asked, None
        if asked is not None and asked[0] is key:
            _, value, shard, slot = asked
        else:
            value = self._hash_key(key) or 1
            shard = self._shards[value & _SHARD_MASK]
            slot = shard.slot(value)
            if shard.hashes[slot] != _FREE:
                self._collided[key] = position
                return
        shard.fill(slot, value, position)
        pairs = self._unsaved.pairs
        pairs.append(value)
        pairs.append(position)

    def places(self) -> RequestPlaces | None:
        """Returns where a run puts request ids; None if keys have to be compared for that.

        To be asked for each run: what is not saved is another array from time to time.
        """
        if self._collided or self._hash_key is not _hash_key:
            return None
        self._asked = None
        return RequestPlaces(self._shards, self._unsaved.pairs)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yields the hashes and positions of all requests but those that collided."""
        for shard in self._shards:
            for value, position in zip(shard.hashes, shard.positions, strict=True):
                if value != _FREE:
                    yield value, position

    def take_unsaved(self) -> RequestPairs:
        """Returns what was put since the last call, and all that collided."""
        unsaved, self._unsaved = self._unsaved, RequestPairs()
        unsaved.collided = dict(self._collided)
        return unsaved

    @property
    def collided(self) -> dict[str, int]:
        """The keys whose hash another key has too, with their positions."""
        return dict(self._collided)

    def shard(self, number: int) -> RequestShard:
        """Returns the slots of a shard, for `load_shard`."""
        shard = self._shards[number]
        hashes, positions = shard.hashes.tobytes(), shard.positions.tobytes()
        return RequestShard(number, hashes, positions, shard.count)

    def load_shard(self, shard: RequestShard) -> None:
        """Takes over a shard that was stored."""
        self._asked = None
        self._shards[shard.number].load(shard)

    def load_pairs(self, requests: RequestPairs, behind: bytes) -> None:
        """Adds pairs that were stored, those of shards that are behind; these may have some."""
        self._asked = None
        add_pairs(self._shards, requests.pairs, behind, _START_LOAD_NUMERATOR)
        self._collided.update(requests.collided)
