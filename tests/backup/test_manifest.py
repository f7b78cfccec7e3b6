"""A manifest that is none is refused with its name, before anything is restored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import run

MANIFEST = {
    "namespace": "default",
    "incarnation": "00" * 8,
    "head_position": 1,
    "chain_hash": "00" * 32,
    "format_version": 1,
    "version": "0",
    "size_bytes": 1,
    "file_hash": "00" * 32,
    "create_time_us": 0,
}


@pytest.mark.parametrize("name", ["incarnation", "chain_hash", "file_hash"])
@pytest.mark.parametrize("value", ["no hex", "00", ""])
def test_a_hash_that_is_none_is_named(name: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()
    (tmp_path / "manifest.json").write_text(json.dumps({**MANIFEST, name: value}))

    refused = run("restore", tmp_path, "--data", tmp_path / "data")

    assert refused.exit_code == 2
    assert f"{tmp_path / 'manifest.json'} is not a manifest of gapless" in refused.stderr
    assert f"$.{name}" in refused.stderr
    assert not (tmp_path / "data").exists()
