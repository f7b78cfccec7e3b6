"""Files of checkpoints: promises C1 to C3 of their port, kept by the SQLite backend."""

from __future__ import annotations

import shutil
import sqlite3
from array import array
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gapless_server.checkpoint import sqlite as sqlite_checkpoints
from gapless_server.checkpoint.chunks import CHUNK_BYTES
from gapless_server.checkpoint.page_sum import sum_path
from gapless_server.checkpoint.port import (
    REQUEST_SHARDS,
    CheckpointHead,
    Damaged,
    RequestPairs,
    RequestShard,
)
from gapless_server.checkpoint.sqlite import SqliteCheckpoint, SqliteCheckpointStore
from gapless_server.core.paging import PageLimits
from gapless_server.journal.port import Head
from tests.limits import file_size_limited_to

NAME = "test"
HEAD = CheckpointHead(Head(7, bytes(range(32))), 1_700_000_000_000_000)
NEXT_HEAD = CheckpointHead(Head(8, bytes(32)), 1_700_000_000_000_001)
LIMITS = PageLimits()


async def test_c3_a_checkpoint_of_another_incarnation_is_not_used(tmp_path: Path) -> None:
    store = SqliteCheckpointStore(tmp_path)
    one = await store.open(NAME, "one")
    await one.write(HEAD, [("T", [(b"k", b"row")])], RequestPairs(), [])
    await one.close()

    other = await store.open(NAME, "other")

    assert other.at == CheckpointHead()
    assert other.get("T", b"k") is None
    await other.close()


async def test_c3_a_checkpoint_of_another_format_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteCheckpointStore(tmp_path)
    with monkeypatch.context() as before:
        before.setattr(sqlite_checkpoints, "FORMAT_VERSION", sqlite_checkpoints.FORMAT_VERSION - 1)
        older = await store.open(NAME, "one")
        await older.write(HEAD, [("T", [(b"k", b"row")])], RequestPairs(), [])
        await older.close()

    newer = await store.open(NAME, "one")

    assert newer.at == CheckpointHead()
    assert newer.get("T", b"k") is None
    await newer.close()


async def test_a_table_takes_no_room_before_it_has_a_row(tmp_path: Path) -> None:
    checkpoint = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    changes = [("USED", [(b"k", b"row")]), ("EMPTY", []), ("LATER", [])]
    await checkpoint.write(HEAD, changes, RequestPairs(), [])
    at_first = _tables_of(tmp_path)
    assert checkpoint.get("EMPTY", b"k") is None

    await checkpoint.write(NEXT_HEAD, [("LATER", [(b"k", b"row")])], RequestPairs(), [])

    assert _tables_of(tmp_path) == at_first | {"LATER"}
    assert {"USED", "EMPTY", "LATER"} & at_first == {"USED"}
    assert checkpoint.get("LATER", b"k") == b"row"
    await checkpoint.close()


def _tables_of(directory: Path) -> set[str]:
    path = directory / f"{NAME}.state"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {name for (name,) in found}


async def test_its_files_are_the_owners_alone(tmp_path: Path) -> None:
    checkpoint = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    await checkpoint.write(HEAD, [("T", [(b"k", b"row")])], RequestPairs(), [])

    modes = _modes_in(tmp_path)

    assert set(modes) == {f"{NAME}.state{end}" for end in ("", "-wal", "-shm", "-sum")}
    assert set(modes.values()) == {0o600}
    await checkpoint.close()


def _modes_in(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def test_c1_a_write_that_fails_half_way_leaves_the_checkpoint_as_it_was(
    tmp_path: Path,
) -> None:
    checkpoint = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    await checkpoint.write(HEAD, [("T", [(b"k", b"old")])], RequestPairs(), [])

    def breaks_off() -> Any:
        yield b"k", b"new"
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await checkpoint.write(
            CheckpointHead(Head(8, bytes(32))), [("T", breaks_off())], RequestPairs(), []
        )

    assert checkpoint.get("T", b"k") == b"old"
    assert checkpoint.at == HEAD
    await checkpoint.close()
    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    assert again.at == HEAD
    assert again.get("T", b"k") == b"old"
    await again.close()


async def test_c1_a_checkpoint_whose_file_could_not_be_made_is_written_once_it_can_be(
    tmp_path: Path,
) -> None:
    checkpoint = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    with file_size_limited_to(1000), pytest.raises(sqlite3.OperationalError):
        await checkpoint.write(HEAD, [("T", [(b"k", b"row")])], RequestPairs(), [])
    await checkpoint.write(HEAD, [("T", [(b"k", b"row")])], RequestPairs(), [])

    assert checkpoint.get("T", b"k") == b"row"
    await checkpoint.close()


async def written(directory: Path, rows: list[tuple[bytes, bytes | None]]) -> SqliteCheckpoint:
    """Returns a checkpoint, open, with the rows of one table and two request ids."""
    checkpoint = await SqliteCheckpointStore(directory).open(NAME, "one")
    requests = RequestPairs(array("Q", [11, 1, 12, 2]))
    await checkpoint.write(HEAD, [("T", rows)], requests, [])
    return checkpoint


class Requests:
    """All that is stored of a request index."""

    def __init__(self) -> None:
        self.shards: list[RequestShard] = []
        self.pairs: list[RequestPairs] = []
        self.behind: list[list[int]] = []

    def load_shard(self, shard: RequestShard) -> None:
        self.shards.append(shard)

    def load_pairs(self, requests: RequestPairs, behind: bytes) -> None:
        self.pairs.append(requests)
        self.behind.append([number for number, is_behind in enumerate(behind) if is_behind])


async def stored_requests(checkpoint: SqliteCheckpoint) -> Requests:
    requests = Requests()
    await checkpoint.load_requests(requests)
    return requests


def change(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / f"{NAME}.state", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(["UPDATE T SET chunk = zeroblob(20) WHERE fence = x'62'"], id="chunk"),
        pytest.param(["UPDATE T SET fence = x'66' WHERE fence = x'62'"], id="fence"),
        pytest.param(["DELETE FROM T WHERE fence = x'62'"], id="missing chunk"),
        pytest.param(["ALTER TABLE T RENAME TO U"], id="other table"),
        pytest.param(["DROP TABLE T"], id="missing table"),
        pytest.param(
            [
                "UPDATE T SET fence = x'00' WHERE fence = x'62'",
                "UPDATE T SET fence = x'62' WHERE fence = x'63'",
                "UPDATE T SET fence = x'63' WHERE fence = x'00'",
            ],
            id="exchanged chunks",
        ),
        pytest.param(["DELETE FROM request_tail"], id="missing request ids"),
        pytest.param(["UPDATE request_tail SET number = 7"], id="request ids elsewhere"),
        pytest.param(["UPDATE request_tail SET pairs = zeroblob(40)"], id="request ids"),
        pytest.param(["UPDATE meta SET value = zeroblob(50)"], id="position"),
    ],
)
async def test_c2_a_checkpoint_that_was_damaged_is_not_there(
    tmp_path: Path, damage: list[str]
) -> None:
    # Each has a chunk of its own.
    rows: list[tuple[bytes, bytes | None]] = [
        (key, key * CHUNK_BYTES) for key in (b"a", b"b", b"c")
    ]
    checkpoint = await written(tmp_path, rows)
    await checkpoint.close()
    change(tmp_path, *damage)

    damaged = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    assert damaged.at == CheckpointHead()
    assert damaged.get("T", b"c") is None
    requests = await stored_requests(damaged)
    assert (requests.shards, requests.pairs) == ([], [])
    await damaged.close()


async def test_c2_a_row_of_an_older_moment_is_found_though_it_was_written_like_that(
    tmp_path: Path,
) -> None:
    checkpoint = await written(tmp_path, [(b"a", b"old"), (b"b", b"row")])
    with closing(sqlite3.connect(tmp_path / f"{NAME}.state")) as connection:
        [[old]] = connection.execute("SELECT hex(chunk) FROM T").fetchall()
    await checkpoint.write(HEAD, [("T", [(b"a", b"new")])], RequestPairs(), [])
    await checkpoint.close()
    change(tmp_path, f"UPDATE T SET chunk = x'{old}'")

    damaged = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    assert damaged.at == CheckpointHead()
    await damaged.close()


async def test_a_checkpoint_that_was_written_many_times_is_as_good_as_new(tmp_path: Path) -> None:
    checkpoint = await written(tmp_path, [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    shards = [
        RequestShard(n, bytes(8 * 64), n.to_bytes(8, "big"), n) for n in range(REQUEST_SHARDS)
    ]
    more = RequestPairs(array("Q", [13, 3]), {"key": 4})
    changes: list[tuple[bytes, bytes | None]] = [(b"a", None), (b"b", b"4"), (b"d", b"5")]
    await checkpoint.write(HEAD, [("T", changes), ("U", [(b"a", b"6")])], more, shards[:100])
    await checkpoint.write(HEAD, [], RequestPairs(), shards[100:200])
    await checkpoint.write(HEAD, [], more, shards[200:])
    await checkpoint.write(HEAD, [("T", [(b"x", None)])], more, [])
    await checkpoint.close()

    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    assert again.at == HEAD
    assert [again.get("T", key) for key in (b"a", b"b", b"c", b"d")] == [None, b"4", b"3", b"5"]
    assert again.get("U", b"a") == b"6"
    requests = await stored_requests(again)
    assert requests.shards == shards
    # The first two of the tail are in every shard, the third in those that came with it.
    assert requests.pairs == [more, more]
    assert requests.behind == [list(range(200)), list(range(REQUEST_SHARDS))]
    await again.close()


async def with_a_write_that_does_not_count(directory: Path) -> SqliteCheckpoint:
    """Returns a checkpoint, open, after a second write whose sum has no place."""
    checkpoint = await written(directory, [(b"k", b"old")])
    await checkpoint.close()
    checkpoint = await SqliteCheckpointStore(directory).open(NAME, "one")
    sum_path(directory / f"{NAME}.state").rename(directory / "sum")
    sum_path(directory / f"{NAME}.state").mkdir()
    with pytest.raises(IsADirectoryError):
        await checkpoint.write(NEXT_HEAD, [("T", [(b"k", b"new")])], RequestPairs(), [])
    return checkpoint


async def test_c1_a_crash_before_the_sum_is_written_leaves_the_checkpoint_before(
    tmp_path: Path,
) -> None:
    checkpoint = await with_a_write_that_does_not_count(tmp_path)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in (f"{NAME}.state", f"{NAME}.state-wal"):
        shutil.copy(tmp_path / name, crashed)
    shutil.copy(tmp_path / "sum", sum_path(crashed / f"{NAME}.state"))
    await checkpoint.close()

    after = await SqliteCheckpointStore(crashed).open(NAME, "one")

    assert after.at == HEAD
    assert after.get("T", b"k") == b"old"
    await after.close()


async def test_c1_a_write_whose_sum_failed_counts_together_with_the_next(tmp_path: Path) -> None:
    checkpoint = await with_a_write_that_does_not_count(tmp_path)
    sum_path(tmp_path / f"{NAME}.state").rmdir()
    (tmp_path / "sum").rename(sum_path(tmp_path / f"{NAME}.state"))

    await checkpoint.write(NEXT_HEAD, [("T", [(b"l", b"row")])], RequestPairs(), [])
    await checkpoint.close()

    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    assert again.at == NEXT_HEAD
    assert [again.get("T", key) for key in (b"k", b"l")] == [b"new", b"row"]
    await again.close()


async def test_c2_a_checkpoint_that_was_scrubbed_is_as_good_as_before(tmp_path: Path) -> None:
    rows: list[tuple[bytes, bytes | None]] = [(bytes([n]), bytes(1000)) for n in range(1, 200)]
    checkpoint = await written(tmp_path, rows)
    deleted: list[tuple[bytes, bytes | None]] = [(key, None) for key, _row in rows[1:]]
    await checkpoint.write(HEAD, [("T", deleted)], RequestPairs(), [])

    assert await checkpoint.scrub()
    await checkpoint.write(NEXT_HEAD, [("T", rows[:9])], RequestPairs(), [])
    await checkpoint.close()

    again = await SqliteCheckpointStore(tmp_path).open(NAME, "one")
    assert again.at == NEXT_HEAD
    assert list(again.scan("T", b"", b"\xff", descending=False)) == rows[:9]
    await again.close()


async def test_c2_a_row_that_is_damaged_after_the_opening_is_found_when_it_is_read(
    tmp_path: Path,
) -> None:
    checkpoint = await written(tmp_path, [(b"k", b"row")])
    change(tmp_path, "UPDATE T SET chunk = CAST(substr(chunk, 1, 9) AS BLOB)")

    with pytest.raises(Damaged, match="is not what was written"):
        checkpoint.get("T", b"k")

    await checkpoint.close()
    assert not (tmp_path / f"{NAME}.state").exists()


async def test_reading_leaves_no_file_behind(tmp_path: Path) -> None:
    checkpoint = await SqliteCheckpointStore(tmp_path).open(NAME, "one")

    assert checkpoint.get("T", b"k") is None
    assert list(checkpoint.scan("T", b"", b"\xff", descending=False)) == []
    assert (await stored_requests(checkpoint)).pairs == []
    await checkpoint.close()

    assert list(tmp_path.glob("*")) == []  # noqa: ASYNC240 - nothing else runs here
