"""The rules of the house that a machine can check and the linter does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("client", "service")
ALL_ROOTS = (*SOURCE_ROOTS, "tests", "tools", "bench")
GENERATED = re.compile(r"_pb2(_grpc)?\.py$|^client/gapless/errors\.py$|^client/gapless/_sync/")

FILE_LINES_MAX = 400
# What fits on a screen, signature and docstring included.
FUNCTION_LINES_MAX = 60

# What waits, tells the time, rolls dice or reaches out of the process.
WAITING = {"asyncio", "concurrent", "select", "signal", "subprocess", "threading"}
CLOCKS_AND_DICE = {"datetime", "random", "secrets", "time", "uuid"}
OUTSIDE = {"grpc", "io", "logging", "os", "pathlib", "socket", "structlog", "sys", "tempfile"}
IMPURE_MODULES = WAITING | CLOCKS_AND_DICE | OUTSIDE

_JOB = re.compile(r"[A-Z][^.]{10,}[.:;]", re.DOTALL)
_TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[)")


class Source(NamedTuple):
    """A file of ours, read and parsed."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@cache
def _sources(*roots: str) -> tuple[Source, ...]:
    found = []
    for root in roots:
        for file in sorted((ROOT / root).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if not GENERATED.search(path) and "node_modules" not in path:
                text = file.read_text(encoding="utf-8")
                found.append(Source(path, text, ast.parse(text)))
    return tuple(found)


def _functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def _is_pure(source: Source, line: int) -> bool:
    """Says whether an import takes nothing but `intern`, which only makes lookups quicker."""
    return source.lines[line - 1] == "from sys import intern"


def _sleeps(node: ast.AST) -> bool:
    """Says whether a node is a call that sleeps; giving way, `sleep(0)`, is no sleep."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    called = node.func.id if isinstance(node.func, ast.Name) else called
    seconds = node.args[0]
    return called == "sleep" and not (isinstance(seconds, ast.Constant) and seconds.value == 0)


def _has_reason(source: Source, line: int) -> bool:
    """Says whether a comment stands on the line or on the one above it."""
    return any("#" in text for text in source.lines[max(line - 2, 0) : line])


def _swallows(node: ast.AST) -> bool:
    """Says whether a node catches everything and does nothing."""
    if isinstance(node, ast.With | ast.AsyncWith):
        return any(
            isinstance(item.context_expr, ast.Call)
            and ast.unparse(item.context_expr.func).endswith("suppress")
            and any(_is_everything(argument) for argument in item.context_expr.args)
            for item in node.items
        )
    return (
        isinstance(node, ast.ExceptHandler)
        and (node.type is None or _is_everything(node.type))
        and all(_is_nothing(statement) for statement in node.body)
    )


def _tells_a_type(node: ast.Assert) -> bool:
    """Says whether an assertion says no more than the type of something."""
    if isinstance(node.test, ast.Compare):
        return isinstance(node.test.ops[0], ast.IsNot) and (
            ast.unparse(node.test.comparators[0]) == "None"
        )
    return isinstance(node.test, ast.Call) and ast.unparse(node.test.func) == "isinstance"


def _is_everything(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Name) and part.id in ("Exception", "BaseException")
        for part in ast.walk(node)
    )


def _is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass | ast.Continue) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("time.sleep(1)", True),
        ("await asyncio.sleep(step)", True),
        ("await asyncio.sleep(0)", False),
        ("rest(1)", False),
    ],
)
def test_a_sleep_is_told_from_giving_way(code: str, found: bool) -> None:
    tree = ast.parse(f"async def f():\n    {code}")

    assert any(_sleeps(node) for node in ast.walk(tree)) is found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("try:\n    f()\nexcept Exception:\n    pass", True),
        ("try:\n    f()\nexcept (OSError, BaseException):\n    ...", True),
        ("try:\n    f()\nexcept:\n    pass", True),
        ("with contextlib.suppress(Exception):\n    f()", True),
        ("try:\n    f()\nexcept OSError:\n    pass", False),
        ("try:\n    f()\nexcept Exception as error:\n    report(error)", False),
        ("with contextlib.suppress(OSError):\n    f()", False),
    ],
)
def test_swallowing_everything_is_told_from_handling(code: str, found: bool) -> None:
    assert any(_swallows(node) for node in ast.walk(ast.parse(code))) is found


def test_no_file_is_longer_than_can_be_read_in_one_go() -> None:
    too_long = [
        f"{source.path}: {len(source.lines)} lines"
        for source in _sources(*SOURCE_ROOTS)
        if len(source.lines) > FILE_LINES_MAX
    ]
    for file in sorted((ROOT / "service").rglob("*.p[yx][xd]")):
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX:
            too_long.append(f"{file.relative_to(ROOT)}: {lines} lines")

    assert too_long == []


def test_every_function_fits_on_a_screen() -> None:
    too_long = [
        f"{source.path}:{function.lineno}: {function.name} has {lines} lines"
        for source in _sources(*ALL_ROOTS)
        for function in _functions(source)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert too_long == []


def test_every_package_says_its_job_in_its_first_sentence() -> None:
    silent = [
        source.path
        for source in _sources(*ALL_ROOTS)
        if source.path.endswith("/__init__.py")
        and not _JOB.match(ast.get_docstring(source.tree) or "")
    ]

    assert silent == []


def test_no_test_sleeps_without_a_reason_beside_it() -> None:
    sleeps = [
        f"{source.path}:{node.lineno}: {source.lines[node.lineno - 1].strip()}"
        for source in _sources("tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _sleeps(node) and not _has_reason(source, node.lineno)
    ]

    assert sleeps == []


def test_whatever_the_type_checker_shall_ignore_is_named() -> None:
    bare = [
        f"{source.path}:{number}: {line.strip()}"
        for source in _sources(*ALL_ROOTS)
        for number, line in enumerate(source.lines, start=1)
        if _TYPE_IGNORE.search(line)
    ]

    assert bare == []


def test_no_error_is_swallowed_whatever_it_is() -> None:
    swallowed = [
        f"{source.path}:{getattr(node, 'lineno', 0)}"
        for source in _sources(*ALL_ROOTS)
        for node in ast.walk(source.tree)
        if _swallows(node)
    ]

    assert swallowed == []


def test_g8_no_safety_check_is_an_assertion_which_python_may_leave_out() -> None:
    """What holds a promise raises; assertions only tell the type checker what it cannot see."""
    checks = [
        f"{source.path}:{node.lineno}: {ast.unparse(node)}"
        for source in _sources(*SOURCE_ROOTS)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert) and not _tells_a_type(node)
    ]

    assert checks == []


def test_g10_the_core_imports_nothing_that_waits_tells_the_time_or_rolls_dice() -> None:
    impure = [
        f"{source.path}:{line}: import of {module}"
        for source in _sources("service/gapless_server/core")
        for line, module in _imported_modules(source)
        if module.split(".")[0] in IMPURE_MODULES and not _is_pure(source, line)
    ]

    assert impure == []


def test_lock_files_name_no_registry() -> None:
    lock = ROOT / "tests" / "node" / "package-lock.json"

    assert '"resolved"' not in lock.read_text(encoding="utf-8")
