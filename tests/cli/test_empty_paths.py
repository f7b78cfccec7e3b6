"""An empty path is a mistake wherever it is given, and never the directory that one is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless_server.cli.configuration import resolve
from gapless_server.cli.exits import WrongSettings
from tests.cli.commands import run

# What is given, and what else the command needs.
OPTIONS = {
    "verify": ("verify", ""),
    "export": ("export", ""),
    "export --output": ("export", "data", "--output", ""),
    "serve --data": ("serve", "--data", ""),
    "serve --address-file": ("serve", "--port", "0", "--address-file", ""),
    "config --config": ("config", "--config", ""),
    "backup": ("backup", ""),
    "restore": ("restore", "", "--data", "data"),
    "restore --data": ("restore", "backup", "--data", ""),
    "import-log --data": ("import-log", "-", "--data", "", "-n", "x"),
}
VARIABLES = {
    "serve": "GAPLESS_DATA",
    "verify": "GAPLESS_DATA",
    "export": "GAPLESS_DATA",
    "config": "GAPLESS_CONFIG",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory in which nothing may come to be."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_empty_path_is_refused(name: str, tmp_path: Path) -> None:
    refused = run(*OPTIONS[name])

    assert (refused.exit_code, "empty; expected a path" in refused.output) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", VARIABLES)
def test_an_empty_variable_is_refused(name: str, tmp_path: Path) -> None:
    refused = run(name, environment={VARIABLES[name]: ""})

    assert refused.exit_code == 2
    assert VARIABLES[name] in refused.output
    assert "expected a path" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_an_empty_path_in_the_settings_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gapless.toml"
    file.write_text('data = ""\n')

    with pytest.raises(WrongSettings, match="is ''; expected a path that is not empty"):
        resolve({}, {}, file)


def test_a_path_that_is_given_is_taken_though_the_variable_is_empty() -> None:
    shown = run("verify", "nowhere", environment={"GAPLESS_DATA": ""})

    assert "nowhere holds no log" in shown.output
