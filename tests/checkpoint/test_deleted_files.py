"""A checkpoint may be deleted at any time, in whole or in part: the next start makes another."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless_server.checkpoint.port import CheckpointHead, RequestPairs
from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.journal.port import Head
from tests.checkpoint.test_checkpoint_files import HEAD, NAME

WRITES = 8


@pytest.mark.parametrize("ends", [[""], ["-sum"], ["", "-sum"]])
async def test_a_checkpoint_that_is_made_in_the_place_of_a_deleted_one_is_used(
    tmp_path: Path, ends: list[str]
) -> None:
    store = SqliteCheckpointStore(tmp_path)
    older = await store.open(NAME, "one")
    for position in range(WRITES):
        at = CheckpointHead(Head(position, bytes(32)))
        await older.write(at, [("T", [(b"old", b"row")])], RequestPairs(), [])
    await older.close()
    for end in ends:
        (tmp_path / f"{NAME}.state{end}").unlink()
    newer = await store.open(NAME, "one")
    assert newer.at == CheckpointHead()
    await newer.write(HEAD, [("T", [(b"new", b"row")])], RequestPairs(), [])
    await newer.close()

    again = await store.open(NAME, "one")

    assert again.at == HEAD
    assert [again.get("T", key) for key in (b"old", b"new")] == [None, b"row"]
    await again.close()
