"""C2 where a checkpoint is written: damage that it meets is not kept to itself."""

from __future__ import annotations

import sqlite3
from array import array
from pathlib import Path

import pytest

from gapless_server.checkpoint.port import Damaged, RequestPairs
from gapless_server.core.refusals import Refused
from tests.checkpoint.test_checkpoint_files import (
    NAME,
    NEXT_HEAD,
    Requests,
    change,
    stored_requests,
    written,
)
from tests.checkpoint.test_checkpoints import Disk, everything
from tests.writer.harness import create, post, run


async def test_c2_a_damaged_row_that_a_write_adds_to_has_the_checkpoint_forgotten(
    tmp_path: Path,
) -> None:
    checkpoint = await written(tmp_path, [(b"k", b"row")])
    change(tmp_path, "UPDATE T SET chunk = zeroblob(20)")

    with pytest.raises(Damaged, match="it is rebuilt at the next start"):
        await checkpoint.write(NEXT_HEAD, [("T", [(b"l", b"row")])], RequestPairs(), [])

    await checkpoint.close()
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else runs here


async def test_c2_damaged_request_ids_have_the_checkpoint_forgotten(tmp_path: Path) -> None:
    checkpoint = await written(tmp_path, [(b"k", b"row")])
    change(tmp_path, "UPDATE request_tail SET pairs = zeroblob(40)")

    with pytest.raises(Damaged, match="it is rebuilt at the next start"):
        await stored_requests(checkpoint)

    await checkpoint.close()
    assert not (tmp_path / f"{NAME}.state").exists()


async def test_a_write_that_finds_no_room_leaves_the_checkpoint_there(tmp_path: Path) -> None:
    checkpoint = await written(tmp_path, [(b"k", b"row")])
    await checkpoint._in_writer_thread(
        lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall()
    )
    many = RequestPairs(array("Q", bytes(8 * 100_000)))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        await checkpoint.write(NEXT_HEAD, [], many, [])

    assert checkpoint.get("T", b"k") == b"row"
    assert isinstance(await stored_requests(checkpoint), Requests)
    await checkpoint.close()
    assert (tmp_path / f"{NAME}.state").exists()


async def test_c2_damage_that_a_checkpoint_meets_stops_the_service_and_is_rebuilt(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    async with disk.namespace() as namespace:
        await run(namespace, create(), *[post(f"r{number}") for number in range(9)])

    async with disk.namespace() as namespace:
        disk.damage_rows("MessageTables.messages")
        # The first has a checkpoint begun, which nobody waits for.
        await run(namespace, *[post(f"s{number}") for number in range(9)])
        await namespace._history.settle()
        with pytest.raises(Refused) as refused:
            await run(namespace, post("t"))
        assert refused.value.row.reason == "OUTCOME_UNKNOWN"
        assert not disk.state_path.exists()

    async with disk.namespace() as namespace:
        assert namespace.head.position == 1 + 9 + 9 + 1
        assert len((await everything(namespace))[1].messages) == 9 + 9 + 1
