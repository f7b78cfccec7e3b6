"""The worked example of CONTRIBUTING.md, done step by step in a copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = ROOT / ".venv-protos" / "bin" / "python"
COPIED = ("client", "docs", "protos", "service", "tools", "pyproject.toml")
COPIED_TESTS = ("__init__.py", "core/__init__.py", "core/story.py")
STEP_SECONDS_MAX = 60

# What a step does to a file: the path that the text names, and the block that follows it.
_NEW_FILE = re.compile(r"New file\s+`([^`]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
_CHANGE = re.compile(r"In\s+`([^`]+)`:\n\n```diff\n(.*?)```", re.DOTALL)


def _copy(destination: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, destination / name, ignore=ignored)
        else:
            shutil.copyfile(source, destination / name)
    for name in COPIED_TESTS:
        target = destination / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "tests" / name, target)


def _changed(text: str, change: str) -> str:
    """Returns the text with the lines marked + put behind the line that stands above them."""
    lines = text.splitlines(keepends=True)
    place = 0
    for line in change.splitlines(keepends=True):
        mark, rest = line[0], line[1:]
        if mark == " ":
            assert lines.count(rest) == 1, f"expected once, found {lines.count(rest)} times: {rest}"
            place = lines.index(rest) + 1
        else:
            assert mark == "+", f"expected a line that begins with a blank or +, found {line!r}"
            lines.insert(place, rest)
            place += 1
    return "".join(lines)


def _run(directory: Path, *command: str) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "client:service:."},
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    not GENERATOR.exists(), reason="the generator of the stubs is not installed: run `make protos`"
)
def test_a_newcomer_who_follows_the_example_gets_a_green_test(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    _copy(tmp_path)

    for name, content in _NEW_FILE.findall(text):
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(content)
    for name, change in _CHANGE.findall(text):
        path = tmp_path / name
        path.write_text(_changed(path.read_text(), change))
    _run(tmp_path, str(GENERATOR), "tools/make_protos.py")
    _run(tmp_path, sys.executable, "tools/make_errors.py")

    _run(tmp_path, sys.executable, "-m", "pytest", "-p", "no:gapless", "tests/core/test_tallies.py")


def test_the_example_names_every_file_that_a_new_kind_touches() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()

    new = [name for name, _content in _NEW_FILE.findall(text)]
    changed = [name for name, _change in _CHANGE.findall(text)]

    assert new == [
        "protos/gapless/v1/tallies.proto",
        "service/gapless_server/core/kinds/tallies.py",
        "tests/core/test_tallies.py",
    ]
    assert changed == [
        "protos/gapless/v1/commands.proto",
        "protos/gapless/v1/events.proto",
        "protos/gapless/v1/errors.proto",
        "service/gapless_server/core/kinds/__init__.py",
    ]
