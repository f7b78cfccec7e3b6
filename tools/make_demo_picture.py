"""Makes docs/demo.svg from the output of a real run of ``gapless demo``.

Run with ``.venv/bin/python tools/make_demo_picture.py`` when what the demo prints has changed. It
is not among what ``make check`` holds fresh: no two runs have the same figures.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "demo.svg"
COMMAND = "make demo"
COLUMNS = 84

# Colours, but one picture of each progress bar instead of a moving one.
TERMINAL = {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(COLUMNS)}
CURSOR_CODES = re.compile(r"\x1b\[\?25[lh]")
# The picture must not load fonts from elsewhere.
FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def demo_output() -> str:
    """What the demo prints, as a terminal gets it. Raises SystemExit if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "gapless_server", "demo"],
        env={**os.environ, **TERMINAL},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"make_demo_picture: the demo failed:\n{done.stdout}")
    return CURSOR_CODES.sub("", done.stdout)


def picture(output: str) -> str:
    """Returns terminal output as an SVG document."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), COMMAND))
    for line in output.splitlines():
        if line.strip():
            console.print(Text.from_ansi(line), soft_wrap=True)
    return FONT_FACES.sub("", console.export_svg(title="gapless", unique_id="demo"))


if __name__ == "__main__":
    PICTURE.write_text(picture(demo_output()), encoding="utf-8")
    print(f"make_demo_picture: {PICTURE.relative_to(ROOT)} written")
