"""The examples of README.md, run as they stand there, one after another, against a real service.

Only the port is another: a free one. What a block prints must be what the comments behind its
``print`` calls say, and, for prints in a loop, the lines of comments below them.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gapless.testing import SubprocessServer

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NODE_PACKAGES = ROOT / "tests" / "node" / "node_modules"
DEFAULT_ADDRESS = "127.0.0.1:4275"
EXAMPLE_SECONDS_MAX = 30

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BEHIND_PRINT = re.compile(r"^ *(?:print|console\.log)\(.*\);?  (?:#|//) (.*)$")
_COMMENT_LINE = re.compile(r"^(?:#|//) (.*)$")


class Block(NamedTuple):
    """A block of code in the README."""

    language: str
    line: int
    code: str

    @property
    def is_test(self) -> bool:
        """Whether it is for pytest."""
        return "def test_" in self.code

    @property
    def expected(self) -> list[str]:
        """The lines that the block says it prints."""
        found = []
        for line in self.code.splitlines():
            match = _BEHIND_PRINT.match(line) or _COMMENT_LINE.match(line)
            if match:
                found.append(match.group(1))
        return found


def _blocks(language: str) -> list[Block]:
    return [
        Block(match.group(1), README.count("\n", 0, match.start()) + 2, match.group(2))
        for match in _BLOCK.finditer(README)
        if match.group(1) == language
    ]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with SubprocessServer() as server:
        yield server.address


def _run(block: Block, names: dict[str, Any], address: str) -> list[str]:
    # Blank lines before it: a traceback then shows the line of the README.
    code = "\n" * (block.line - 1) + block.code.replace(DEFAULT_ADDRESS, address)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(ast.parse(code), "README.md", "exec"), names)
    return output.getvalue().splitlines()


def test_the_python_examples_print_what_they_say(address: str) -> None:
    names: dict[str, Any] = {}
    try:
        for block in _blocks("python"):
            if block.is_test:
                continue
            assert _run(block, names, address) == block.expected, f"README.md:{block.line}"
    finally:
        if "client" in names:
            names["client"].close()


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    [block] = [block for block in _blocks("python") if block.is_test]
    (tmp_path / "test_example.py").write_text(block.code, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=EXAMPLE_SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not NODE_PACKAGES.is_dir(),
    reason="the packages are not installed: run `make tests/node/node_modules`",
)
def test_the_node_example_prints_what_it_says(address: str) -> None:
    [block] = _blocks("js")

    done = subprocess.run(
        ["node", "-"],
        input=block.code.replace(DEFAULT_ADDRESS, address),
        cwd=ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_PATH": str(NODE_PACKAGES)},
        capture_output=True,
        text=True,
        timeout=EXAMPLE_SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == block.expected
