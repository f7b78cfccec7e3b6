"""Nothing is committed to a log whose files are not there any more (G2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.errors import LogCorrupt
from gapless.testing import InProcessServer
from gapless_server.journal import presence
from gapless_server.journal.port import Corrupt, Head, next_round
from gapless_server.journal.sqlite import SqliteJournal
from gapless_server.journal.sqlite_store import SqliteJournalStore
from tests.journal.test_witness import written


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "LOOK_SECONDS", 0.0)


async def commit(journal: SqliteJournal) -> None:
    record = next_round(journal.head, journal.head.position + 1, b"one more")
    await journal.append(record)
    assert journal.head == Head(record.last_position, record.chain_hash)


@pytest.mark.parametrize("suffix", [".db", ".db-wal"])
async def test_g2_a_log_that_was_removed_takes_no_round_until_it_is_there_again(
    tmp_path: Path, suffix: str
) -> None:
    path = await written(tmp_path, 2)
    store = SqliteJournalStore(tmp_path, "nowhere")
    journal = await store.open("test")
    await commit(journal)
    file, aside = path.with_suffix(suffix), tmp_path / "aside"
    file.rename(aside)

    for _ in range(2):
        with pytest.raises(Corrupt, match=f"test{suffix} was removed or replaced"):
            await commit(journal)

    aside.rename(file)
    await commit(journal)
    assert journal.head.position == 4
    await journal.close()
    await store.close()


async def test_g2_a_log_in_whose_place_another_lies_takes_no_round(tmp_path: Path) -> None:
    path = await written(tmp_path, 2)
    store = SqliteJournalStore(tmp_path, "nowhere")
    journal = await store.open("test")
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    copy.rename(path)

    with pytest.raises(Corrupt, match="was removed or replaced"):
        await commit(journal)

    await journal.close()
    await store.close()


def test_a_log_that_is_gone_is_told_as_damaged_and_not_as_never_there(tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path) as server:
        with server.client("gone") as client:
            client.channels.create("general")
        server.stop()
        (tmp_path / "data" / "namespaces" / "gone.db").unlink()
        server.start()

        with server.client("gone") as client:
            listed = list(client.operations.list_namespaces())
            with pytest.raises(LogCorrupt, match="is missing or empty"):
                client.operations.get_namespace()

    assert listed == ["gone"]
