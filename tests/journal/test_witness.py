"""A log that became shorter, or another, than it was is refused, never served (G8)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gapless_server.journal.port import EMPTY_HEAD, Corrupt, Head, next_round
from gapless_server.journal.sqlite import SqliteJournal
from gapless_server.journal.sqlite_store import SqliteJournalStore


async def written(directory: Path, rounds: int) -> Path:
    """Writes a log of so many rounds, an entry each, and returns its file."""
    store = SqliteJournalStore(directory, "nowhere")
    journal = await store.open("test")
    head = EMPTY_HEAD
    for position in range(1, rounds + 1):
        record = next_round(head, position, b"round %d" % position)
        await journal.append(record)
        head = Head(position, record.chain_hash)
    await journal.close()
    await store.close()
    return store.path("test")


async def opened(path: Path) -> SqliteJournal:
    return await SqliteJournal.open(path, path.parent / "owner.json", path.parent)


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


async def test_g8_a_log_that_lost_its_newest_entry_is_refused(tmp_path: Path) -> None:
    path = await written(tmp_path, 3)
    change(path, "DELETE FROM rounds WHERE first_position = 3")

    with pytest.raises(Corrupt, match="once reached position 3 and now ends at 2"):
        await opened(path)


async def test_g8_a_log_whose_newest_entry_was_exchanged_is_refused(tmp_path: Path) -> None:
    path = await written(tmp_path, 3)
    change(path, "UPDATE rounds SET chain_hash = zeroblob(32) WHERE first_position = 3")

    with pytest.raises(Corrupt, match="chain hash at position 3 is 0000"):
        await opened(path)


@pytest.mark.parametrize("witness", [None, b"", b"garbage of some length" * 5])
async def test_a_witness_that_says_nothing_does_not_stop_a_whole_log(
    tmp_path: Path, witness: bytes | None
) -> None:
    path = await written(tmp_path, 2)
    if witness is None:
        path.with_suffix(".head").unlink()
    else:
        path.with_suffix(".head").write_bytes(witness)

    journal = await opened(path)

    assert journal.head.position == 2
    await journal.close()


async def test_a_log_that_is_ahead_of_its_witness_is_whole(tmp_path: Path) -> None:
    """After a loss of power the witness may be older than the log, which was synced first."""
    path = await written(tmp_path, 2)
    old = path.with_suffix(".head").read_bytes()
    journal = await opened(path)
    await journal.append(next_round(journal.head, 3, b"x"))
    await journal.close()
    path.with_suffix(".head").write_bytes(old)

    journal = await opened(path)

    assert journal.head.position == 3
    await journal.close()


@pytest.mark.parametrize("left", [None, b""])
async def test_g8_a_log_that_is_gone_or_empty_is_refused_and_not_begun_anew(
    tmp_path: Path, left: bytes | None
) -> None:
    path = await written(tmp_path, 3)
    if left is None:
        path.unlink()
    else:
        path.write_bytes(left)

    with pytest.raises(Corrupt, match=r"is missing or empty, but .* it reached position 3"):
        await opened(path)


async def test_g8_a_log_of_which_only_the_write_ahead_log_is_left_is_refused(
    tmp_path: Path,
) -> None:
    path = await written(tmp_path, 3)
    path.unlink()
    path.with_suffix(".head").unlink()
    path.with_name(f"{path.name}-wal").write_bytes(b"entries")

    with pytest.raises(Corrupt, match="is missing or empty, but entries of it are in"):
        await opened(path)


async def test_g8_another_log_in_the_place_of_the_one_that_was_there_is_refused(
    tmp_path: Path,
) -> None:
    path = await written(tmp_path / "one", 3)
    other = await written(tmp_path / "other", 3)
    other.replace(path)

    with pytest.raises(Corrupt, match="another log lies in its place"):
        await opened(path)


async def test_a_witness_that_was_lost_is_a_witness_again_after_the_next_start(
    tmp_path: Path,
) -> None:
    path = await written(tmp_path, 3)
    path.with_suffix(".head").unlink()
    await (await opened(path)).close()
    change(path, "DELETE FROM rounds WHERE first_position = 3")

    with pytest.raises(Corrupt, match="once reached position 3 and now ends at 2"):
        await opened(path)
