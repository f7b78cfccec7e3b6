"""What the programs have in common that each write one section of a page."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def keep_section(page: Path, place: re.Pattern[str], section: str) -> None:
    """Writes a section in its place; with ``--check`` it ends with 1 instead if that is stale."""
    program = Path(sys.argv[0]).stem
    before = page.read_text(encoding="utf-8")
    after, count = place.subn(lambda _old: section, before)
    if count != 1:
        raise SystemExit(f"{program}: expected one place for it in {page.name}, found {count}")
    if sys.argv[1:] == ["--check"] and after != before:
        raise SystemExit(f"{program}: stale, run `make protos`: {page.name}")
    if after != before:
        page.write_text(after, encoding="utf-8")
    print(f"{program}: {int(after != before)} files written")
