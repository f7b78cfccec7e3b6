"""What ``import gapless`` gives, and what it must not bring along."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import gapless

ROOT = Path(__file__).resolve().parent.parent.parent

# Heavy, or of the service: whoever only wants to talk to it shall not pay for them.
NOT_IMPORTED = {
    "aiosqlite",
    "click",
    "gapless_server",
    "hypothesis",
    "msgspec",
    "pytest",
    "rich",
    "structlog",
    "uvloop",
}


def test_everything_public_is_exported_by_name() -> None:
    modules = {"v1", "testing"}  # reached as submodules once they are imported
    public = {
        name
        for name, value in vars(gapless).items()
        if not name.startswith("_") and name not in modules
    }

    assert public | {"__version__"} == set(gapless.__all__)
    assert gapless.__all__ == sorted(gapless.__all__, key=_ruff_order)


def _ruff_order(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def test_importing_the_sdk_brings_nothing_of_the_service() -> None:
    code = "import gapless, json, sys; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = {name.partition(".")[0] for name in json.loads(printed)}

    assert loaded & NOT_IMPORTED == set()
    assert "gapless" in loaded


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert gapless.__version__ == project["version"]


def test_both_colours_have_the_same_methods() -> None:
    # Given a client of each colour, which connect to nothing until they are called
    for name, group in vars(gapless.Client()).items():
        twin = getattr(gapless.AsyncClient(), name)
        methods = {
            key for key, value in vars(type(group)).items() if isinstance(value, types.FunctionType)
        }
        assert methods - DUNDERS == set(vars(type(twin))) & methods - DUNDERS, name


DUNDERS = {"__aiter__", "__iter__", "__aenter__", "__enter__", "__aexit__", "__exit__"}
