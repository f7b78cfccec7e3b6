"""What the documents name is there: links, files, tests, settings, commands."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from gapless_server.cli.program import program

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_NEW_FILE = re.compile(r"New file\s+`[^`]+`")
_CITED_PATH = re.compile(
    r"`((?:bench|client|deploy|docs|protos|service|tests|tools)/[\w./-]+|[\w-]+\.(?:md|toml))`"
)
_CITED_TARGET = re.compile(r"`make ([\w/-]+)`")
_CITED_COMMAND = re.compile(r"`gapless ([a-z-]+)[^`]*`")
_TARGET = re.compile(r"^([\w./-]+(?: [\w./-]+)*):", re.MULTILINE)
_CITED_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_PROMISE = re.compile(r"^- \*\*(G\d+)\..*?(?=^- |^$)", re.DOTALL | re.MULTILINE)


@cache
def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def _prose(document: str) -> str:
    """Returns the text without its code blocks and without the files that an example makes."""
    return _NEW_FILE.sub("", _FENCE.sub("", _text(document)))


def _anchors(document: str) -> set[str]:
    """Returns the fragments that the headings of a document can be linked by."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(_prose(document))
    }


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    broken = []
    for link in _LINK.findall(_prose(document)):
        if link.startswith(("https://", "http://")):
            continue
        name, _, fragment = link.partition("#")
        target = (ROOT / document).parent / name if name else ROOT / document
        linked = target.resolve().relative_to(ROOT).as_posix()
        found = target.exists() and (not fragment or fragment in _anchors(linked))
        if not found:
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_cited_file_exists(document: str) -> None:
    missing = [path for path in _CITED_PATH.findall(_prose(document)) if not (ROOT / path).exists()]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_cited_make_target_exists(document: str) -> None:
    lines = _TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    targets = {target for line in lines for target in line.split()}

    assert set(_CITED_TARGET.findall(_prose(document))) - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_cited_command_exists(document: str) -> None:
    commands = set(program.list_commands(click.Context(program)))

    assert set(_CITED_COMMAND.findall(_prose(document))) - commands == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_cited_test_exists(document: str) -> None:
    missing = [
        f"{path}::{name}" if name else path
        for path, name in _CITED_TEST.findall(_prose(document))
        if not (ROOT / path).exists() or (name and name not in _tests_of(path))
    ]

    assert missing == []


def test_the_readme_says_for_every_promise_what_proves_it() -> None:
    proven = [
        promise.group(1)
        for promise in _PROMISE.finditer(_text("README.md"))
        if _CITED_TEST.search(promise.group())
    ]

    assert proven == [f"G{number}" for number in range(1, 12)]
