"""A rewritten round keeps its length, so that SQLite overwrites it where it lies."""

from __future__ import annotations

import pytest

from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.writer.erasure import _padded


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
