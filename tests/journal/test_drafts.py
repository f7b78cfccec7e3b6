"""A draft that is finished survives a loss of power: it becomes a log only by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless_server.journal.drafts import DraftLog
from tests.journal.rounds import chain_of
from tests.journal.syncing import Synced


def test_a_finished_draft_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "draft.db"
    synced = Synced(monkeypatch)

    with DraftLog(path) as draft:
        for record in chain_of([1, 2]):
            draft.append(record)
        draft.name("00" * 8)
        draft.finish()

    assert synced.holds(path)
