"""A round that is read is the one that was written, or it is refused (G8, J3)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gapless_server.journal.port import Corrupt
from gapless_server.journal.sqlite import SqliteJournal
from tests.journal.rounds import append_all, chain_of, one_by_one

OWNER = "owner.json"


async def written(directory: Path, *, rewritten: bool = False) -> Path:
    """Writes a log of five rounds, the second of which an erasure has rewritten, or has not."""
    path = directory / "one.db"
    journal = await SqliteJournal.open(path, directory / OWNER, directory)
    *rounds, last = chain_of([1, 1, 2, 1, 1])
    await append_all(journal, rounds)
    if rewritten:
        second = rounds[1]._replace(data=b"less", data_digest=rounds[1].committed_digest)
        await journal.append_rewriting(last, one_by_one(second))
    else:
        await journal.append(last)
    await journal.close()
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)


async def read(path: Path, position: int) -> list[int]:
    """Opens the log and returns the last positions of what is read of it."""
    journal = await SqliteJournal.open(path, path.parent / OWNER, path.parent)
    try:
        return [record.last_position async for record in journal.read(position)]
    finally:
        await journal.close()


@pytest.mark.parametrize("position", [2, 3, 4])
async def test_g8_a_round_whose_bytes_changed_is_refused_wherever_a_read_begins(
    tmp_path: Path, position: int
) -> None:
    path = await written(tmp_path)
    change(path, "UPDATE rounds SET data = zeroblob(5) WHERE first_position = 3")

    with pytest.raises(Corrupt, match="positions 3 to 4 is not what was committed after position"):
        await read(path, position)


async def test_what_lies_after_a_damaged_round_is_still_read(tmp_path: Path) -> None:
    path = await written(tmp_path)
    change(path, "UPDATE rounds SET data = zeroblob(5) WHERE first_position = 2")

    assert await read(path, 3) == [4, 5, 6]


async def test_g8_a_read_does_not_begin_in_a_hole(tmp_path: Path) -> None:
    path = await written(tmp_path)
    change(path, "DELETE FROM rounds WHERE first_position = 3")

    with pytest.raises(Corrupt, match="no round holds position 4"):
        await read(path, 4)


@pytest.mark.parametrize("value", ["'text'", "3", "zeroblob(31)"])
async def test_g8_a_row_of_wrong_values_is_refused_and_is_no_fault_of_the_service(
    tmp_path: Path, value: str
) -> None:
    path = await written(tmp_path)
    change(
        path,
        "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'rounds'",
    )
    change(path, f"UPDATE rounds SET chain_hash = {value} WHERE first_position = 3")

    with pytest.raises(Corrupt, match="after position 2 is damaged"):
        await read(path, 3)


async def test_g8_a_rewritten_round_is_what_the_erasure_left_of_it(tmp_path: Path) -> None:
    path = await written(tmp_path, rewritten=True)
    whole = await read(path, 1)
    change(path, "UPDATE rounds SET data = CAST('lest' AS BLOB) WHERE first_position = 2")

    with pytest.raises(Corrupt, match="positions 2 to 2 is not what an erasure has left of it"):
        await read(path, 1)
    assert whole == [1, 2, 4, 5, 6]
