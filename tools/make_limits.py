"""Writes the table of limits in README.md from the settings of the service.

Run by ``make protos`` and, with ``--check``, by ``make check``.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "service"))

from gapless_server.settings import MIB, Settings  # noqa: E402  (needs the source root above)

PAGE = ROOT / "README.md"
HEAD = "| Setting | Default | What it limits |\n| --- | --- | --- |\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def shown(default: object) -> str:
    """A default as people read it."""
    if isinstance(default, int) and default >= MIB and default % MIB == 0:
        return f"{default // MIB} MiB"
    return f"{default:,}" if isinstance(default, int) else str(default)


def table() -> str:
    """The table, a row for each setting whose name says that it is a limit."""
    return HEAD + "".join(
        f"| `{field.name}` | {shown(field.default)} | {field.metadata['help']} |\n"
        for field in dataclasses.fields(Settings)
        if field.name.endswith("_max")
    )


def main() -> None:
    check = sys.argv[1:] == ["--check"]
    before = PAGE.read_text(encoding="utf-8")
    after, count = TABLE.subn(lambda _old: table(), before)
    if count != 1:
        raise SystemExit(f"make_limits: expected one table in README.md, found {count}")
    if check and after != before:
        raise SystemExit("make_limits: stale, run `make protos`: README.md")
    if after != before:
        PAGE.write_text(after, encoding="utf-8")
    print(f"make_limits: {int(after != before)} files written")


if __name__ == "__main__":
    main()
