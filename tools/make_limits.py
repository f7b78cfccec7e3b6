"""Writes the table of limits in README.md from the settings of the service.

Run by ``make protos`` and, with ``--check``, by ``make check``.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

from page_section import keep_section

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
    keep_section(PAGE, TABLE, table())


if __name__ == "__main__":
    main()
