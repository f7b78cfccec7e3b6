"""Where there is no room for a log, one sentence says so, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.golden.test_golden_logs import GOLDEN, NEWEST
from tests.limits import file_size_limited_to

LOG = GOLDEN / NEWEST / "log.db"


# The first has no room for the schema, the second not for the last of the log.
@pytest.mark.parametrize("size_bytes", [100, LOG.stat().st_size // 2])
def test_an_import_for_which_there_is_no_room_is_told_and_leaves_nothing(
    size_bytes: int, tmp_path: Path
) -> None:
    export, data = tmp_path / "log.jsonl", tmp_path / "data"
    assert run("export", LOG, "-q", "-o", export).exit_code == 0

    with file_size_limited_to(size_bytes):
        refused = run("import-log", export, "--data", data, "-n", "x", "--json")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: nothing was restored: ")
    assert "make room" in refused.stderr
    assert [path.name for path in data.rglob("*") if path.is_file()] == ["owner.lock"]
    assert run("import-log", export, "--data", data, "-n", "x", "--json").exit_code == 0
