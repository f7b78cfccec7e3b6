"""Rounds are rewritten one after another, and keep their length.

So memory holds one at a time, and SQLite overwrites each where it lies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gapless_server.core.kernel import Erasure
from gapless_server.journal.port import Round
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.writer.erasure import ErasingEvent, Rewriting, _padded
from tests.journal.rounds import append_all, chain_of
from tests.writer.harness import WrappedJournal, memory_journal

POSITIONS = [1, 2, 4]


class CountingJournal(WrappedJournal):
    """Counts how often somebody begins to read."""

    reads = 0

    def read(self, from_position: int) -> AsyncIterator[Round]:
        self.reads += 1
        return super().read(from_position)


async def test_g7_no_round_is_read_before_the_one_before_it_is_done_with() -> None:
    journal = CountingJournal(await memory_journal())
    await append_all(journal, chain_of([1, 1, 1, 1]))
    erasure = Erasure(lambda _: POSITIONS, lambda _: None, lambda _: None, lambda _: None)
    erasing = ErasingEvent(erasure, StoredRound(), POSITIONS[-1] + 1, 0)
    rewriting = Rewriting(journal, [erasing])

    read_when_given = [(one.first_position, journal.reads) async for one in rewriting.rounds()]

    assert read_when_given == [(1, 1), (2, 2), (4, 3)]


@pytest.mark.parametrize(
    "missing", [0, 2, 3, 129, 130, 131, 132, 16_386, 16_387, 16_388, 2_100_000]
)
def test_a_round_is_filled_up_to_any_length_but_one_byte_more(missing: int) -> None:
    data = StoredRound(uptime_us=7).SerializeToString()

    padded = _padded(data, len(data) + missing)

    assert len(padded) == len(data) + missing
    assert StoredRound.FromString(padded).uptime_us == 7


def test_one_byte_cannot_be_filled() -> None:
    assert _padded(b"", 1) == b""
