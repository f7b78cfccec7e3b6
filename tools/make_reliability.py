"""Writes the figures in RELIABILITY.md from the ledger that ``make soak`` keeps.

Run by ``make protos`` and, with ``--check``, by ``make check``. Of each harness the newest line of
the ledger is shown; one that has none was not run yet.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from page_section import keep_section

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "RELIABILITY.md"
LEDGER = ROOT / "reliability" / "ledger.jsonl"
HARNESSES = ROOT / "tests" / "reliability"

BEGIN = "<!-- figures: written by tools/make_reliability.py -->\n"
END = "<!-- end of the figures -->\n"
SECTION = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
HEAD = "| Harness | Times | Violations | When, commit, seed |\n| --- | ---: | --- | --- |\n"
# How a test says which harness it is.
NAME = re.compile(r"""\bharness\(\s*["']([\w ]+)["']""")


def harness_names(folder: Path = HARNESSES) -> list[str]:
    """The harnesses that there are, in the order of their files."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("test_*.py"))]
    return [name for text in texts for name in NAME.findall(text)]


def newest_lines(ledger: Path = LEDGER) -> dict[str, dict[str, Any]]:
    """The newest line of each harness; none if there is no ledger."""
    if not ledger.exists():
        return {}
    lines = ledger.read_text(encoding="utf-8").splitlines()
    return {line["harness"]: line for line in map(json.loads, filter(None, lines))}


def row(name: str, line: dict[str, Any] | None) -> str:
    """The row of a harness."""
    if line is None:
        return f"| {name} | | not run yet | |\n"
    times = line["times"]
    broke = ", ".join(f"{number:,} {what}" for what, number in line["violations"].items())
    where = f"{line['date']}, {line['commit']}, {line['seed']}"
    return f"| {name} | {times:,} | {broke} | {where} |\n"


def figures(names: list[str], lines: dict[str, dict[str, Any]]) -> str:
    """The marked section: a row for each harness that there is, or that was run once."""
    all_names = list(dict.fromkeys([*names, *sorted(lines)]))
    rows = "".join(row(name, lines.get(name)) for name in all_names)
    return f"{BEGIN}\n{HEAD}{rows}\n{END}"


def main() -> None:
    keep_section(PAGE, SECTION, figures(harness_names(), newest_lines()))


if __name__ == "__main__":
    main()
