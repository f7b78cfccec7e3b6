"""Brings generated source into the form that the formatter of this repository leaves it in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def formatted(source: str, path: Path) -> str:
    """The source, sorted and formatted as the file `path` would be."""
    ruff = str(Path(sys.executable).parent / "ruff")
    for arguments in (["check", "--fix-only"], ["format"]):
        source = subprocess.run(
            [ruff, *arguments, "--quiet", "--stdin-filename", str(path), "-"],
            input=source,
            capture_output=True,
            check=True,
            text=True,
            cwd=ROOT,
        ).stdout
    return source
