"""The index of request ids knows every id for ever, also where hashes collide (G3)."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest

from gapless_server.checkpoint.port import REQUEST_SHARDS, RequestPairs
from gapless_server.writer.requests import RequestIndex, request_key


def few_hashes(key: str) -> int:
    """A hash with as many collisions as one could fear."""
    return len(key) % 3


@pytest.mark.parametrize("count", [0, 1, 38, 39, 5000])
def test_every_request_that_was_put_is_found_and_no_other(count: int) -> None:
    index = RequestIndex()
    for position in range(1, count + 1):
        index.put(f"request-{position}", position)

    assert len(index) == count
    assert [index.get(f"request-{position}") for position in range(1, count + 1)] == list(
        range(1, count + 1)
    )
    assert index.get("request-0") is None


def test_keys_whose_hashes_collide_keep_their_own_positions() -> None:
    index = RequestIndex(few_hashes)
    keys = ["aa", "bb", "cc", "a", "b"]
    for position, key in enumerate(keys, start=1):
        index.put(key, position)

    # The first of those with one hash is found by the hash alone, the others by their text.
    assert [index.get(key) for key in keys] == [1, 2, 3, 4, 5]
    assert index.get("zz") == 1  # another's entry: who asks compares it


@pytest.mark.parametrize("make", [RequestIndex, lambda: RequestIndex(few_hashes)])
def test_an_index_is_the_same_after_it_was_stored(make: Callable[[], RequestIndex]) -> None:
    index = make()
    keys = [f"{'x' * (number % 7)}{number}" for number in range(300)]
    for position, key in enumerate(keys[:200], start=1):
        index.put(key, position)
    first = index.take_unsaved()
    shards = [index.shard(number) for number in range(REQUEST_SHARDS)]
    first.pairs = first.pairs[:0]
    for position, key in enumerate(keys[200:], start=201):
        index.put(key, position)

    stored = make()
    for shard in shards:
        stored.load_shard(shard)
    for requests in (first, index.take_unsaved()):
        stored.load_pairs(requests, behind=bytes([1]) * REQUEST_SHARDS)

    assert [stored.get(key) for key in keys] == [index.get(key) for key in keys]
    assert len(stored) == len(index)


def test_of_a_shard_that_is_not_behind_no_pair_is_looked_at() -> None:
    stored = RequestIndex(int)
    behind = bytearray(REQUEST_SHARDS)
    behind[7] = 1

    stored.load_pairs(RequestPairs(array("Q", [7, 1, 8, 2, REQUEST_SHARDS + 7, 3])), bytes(behind))

    found = [stored.get(key) for key in ("7", "8", str(REQUEST_SHARDS + 7))]
    assert found == [1, None, 3]


def test_a_start_adds_any_number_of_pairs_to_one_shard() -> None:
    stored = RequestIndex(int)
    pairs = array("Q")
    for number in range(1, 1001):
        pairs.extend((number * REQUEST_SHARDS, number))

    stored.load_pairs(RequestPairs(pairs), bytes([1]) * REQUEST_SHARDS)

    keys = [str(number * REQUEST_SHARDS) for number in range(1, 1001)]
    assert [stored.get(key) for key in keys] == list(range(1, 1001))
    assert len(stored) == 1000


def test_callers_have_request_ids_of_their_own() -> None:
    assert request_key("ann", "r") != request_key("bob", "r")
    assert request_key("", "r") != request_key("r", "")
    assert request_key("a", "br") != request_key("ab", "r")
