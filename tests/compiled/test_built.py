"""The compiled modules are used, and their shards are those of the plain way."""

from __future__ import annotations

from array import array

import pytest

from gapless_server.checkpoint.port import REQUEST_SHARDS, RequestShard
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.writer import requests


def test_posts_are_decided_in_runs() -> None:
    assert Kernel(KINDS).runs is not None
    assert Kernel(KINDS, compiled=False).runs is None


def test_a_compiled_shard_is_of_the_same_form_as_a_plain_one() -> None:
    from gapless_server.compiled import shards

    assert requests.Shard is shards.Shard
    assert shards.CONSTANTS == (
        REQUEST_SHARDS,
        requests._FIRST_CAPACITY,
        requests._LOAD_NUMERATOR,
        requests._LOAD_DENOMINATOR,
    )
    assert set(requests._Shard.__slots__) <= set(dir(shards.Shard))


def test_shards_of_both_forms_have_the_same_slots_however_much_they_grow() -> None:
    compiled, plain = requests.Shard(), requests._Shard()

    for number in range(1, 5000):
        value = number * 0x9E3779B97F4A7C15 % 2**64 or 1
        for shard in (compiled, plain):
            shard.fill(shard.slot(value), value, number)

    assert compiled.hashes == plain.hashes
    assert compiled.positions == plain.positions
    assert (compiled.count, compiled.mask) == (plain.count, plain.mask)


def test_pairs_are_added_alike_to_the_shards_that_are_behind() -> None:
    from gapless_server.compiled.shards import add_pairs

    values = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1, 3000)]
    pairs = array("Q", [one for value in values for one in (value, value >> 3)])
    again = array("Q", [one for value in values[:50] for one in (value, 7)])
    behind = bytes(number % 3 > 0 for number in range(REQUEST_SHARDS))
    compiled = [requests.Shard() for _ in range(REQUEST_SHARDS)]
    plain = [requests._Shard() for _ in range(REQUEST_SHARDS)]

    for added in (pairs, again):
        add_pairs(compiled, added, behind, 4)
        requests._add_pairs(plain, added, behind, 4)

    assert [(one.hashes, one.positions, one.count) for one in compiled] == [
        (one.hashes, one.positions, one.count) for one in plain
    ]
    assert sum(one.count for one in plain) == sum(behind[value & 255] for value in values)


@pytest.mark.parametrize(
    ("hashes", "positions"), [(0, 0), (3, 3), (4, 2), (2, 4)], ids=lambda slots: str(slots)
)
def test_a_shard_whose_slots_do_not_add_up_is_refused(hashes: int, positions: int) -> None:
    stored = RequestShard(0, bytes(8 * hashes), bytes(8 * positions), 0)

    with pytest.raises(ValueError, match="a shard has"):
        requests.Shard().load(stored)


def test_a_shard_without_a_free_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="4 of them are filled"):
        requests.Shard().load(RequestShard(0, b"\1" * 32, bytes(32), 4))
