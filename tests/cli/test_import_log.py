"""`gapless import-log` of what is no export: a sentence that names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import run

HEADER = b'{"format":"gapless-log","version":1,"incarnation":"00000000000000aa"}\n'

FIRST_LINES = {
    b"\xff\xfe": "it is not UTF-8",
    b"null\n": "it is not a JSON object",
    b"[1]\n": "it is not a JSON object",
    b"[" * 100_000: "recursion",
    b"": "Expecting value",
}
SECOND_LINES = {
    b'{"stored":"\xff"}\n': "line 2: it is not UTF-8",
    b"null\n": "line 2: it is not a JSON object",
    b'{"end":5}\n': "line 2: ",
    b'{"stored":5}\n': "line 2: ",
    b'{"stored":{"entry":{"position":"1"}},"round":5}\n': "line 2: ",
    b'{"stored":{"entry":{"position":"1"}},"round":{"chain_hash":5}}\n': "line 2: ",
    b'{"stored":{"entry":{"position":"1","request_id":"\\ud800"}},"round":{}}\n': "line 2: ",
}


@pytest.mark.parametrize("line", FIRST_LINES)
def test_what_is_no_export_is_told_with_the_reason(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(line)

    refused = run("import-log", tmp_path / "log", "--data", tmp_path / "data", "-n", "x", "--json")

    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: line 1 is not the first one of an export")
    assert FIRST_LINES[line] in refused.stderr


@pytest.mark.parametrize("line", SECOND_LINES)
def test_a_line_that_is_none_of_an_export_is_named(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(HEADER + line)

    refused = run("import-log", tmp_path / "log", "--data", tmp_path / "data", "-n", "x", "--json")

    assert refused.exit_code == 3
    assert refused.stderr.startswith(f"Error: {SECOND_LINES[line]}")
