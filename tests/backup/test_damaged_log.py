"""A backup of a log that is damaged is refused as damaged: asking again would not help (G8)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.errors import LogCorrupt
from gapless.testing import InProcessServer


def test_g8_a_log_that_cannot_be_copied_is_told_as_damaged(tmp_path: Path) -> None:
    log = tmp_path / "data" / "namespaces" / "cut.db"
    with InProcessServer(directory=tmp_path) as server, server.client("cut") as client:
        client.channels.create("general")
        for _ in range(20):
            client.messages.post("general", "ann", "x" * 60_000)
        server.restart()
        client.channels.get("general")
        os.truncate(log, log.stat().st_size // 2)

        with pytest.raises(LogCorrupt, match="cannot be copied"):
            list(client.operations.backup_namespace())
