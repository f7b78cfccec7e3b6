"""What a planted bug is, and how it gets into a copy of the sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# The folders with the sources; both go first on PYTHONPATH, so a copy of them hides the originals.
SOURCE_ROOTS = ("client", "service")


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in a file, given by its path in the repository."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """A bug as somebody could make it, and the tests that must fail with it.

    A quick one is noticed in about a second; `make test` tries some of those. A bug of the
    `compiled` way is compiled with it; without that, posts go the plain way, so that its tests
    see the bugs of that.
    """

    name: str
    promise: str
    edits: tuple[Edit, ...]
    killed_by: tuple[str, ...]
    quick: bool = False
    compiled: bool = False


class Misfit(Exception):
    """A planted bug that does not fit the sources any more."""


def changed_sources(bug: PlantedBug, root: Path = ROOT) -> dict[str, str]:
    """Returns the files that a bug changes, by their path, as they are with it.

    Raises Misfit unless the old text of every edit is in its file exactly once.
    """
    changed: dict[str, str] = {}
    for edit in bug.edits:
        text = changed.get(edit.file) or (root / edit.file).read_text(encoding="utf-8")
        if (found := text.count(edit.old)) != 1:
            raise Misfit(
                f"planted bug {bug.name!r}: its old text is in {edit.file} {found} times, expected"
                f" once; bring the bug up to date with the source:\n{edit.old}"
            )
        changed[edit.file] = text.replace(edit.old, edit.new)
    return changed


def plant(bug: PlantedBug, folder: Path) -> None:
    """Copies the sources into a folder, with the bug in them."""
    without_compiled = shutil.ignore_patterns("*.so", "*.pyd")
    for name in SOURCE_ROOTS:
        shutil.copytree(ROOT / name, folder / name, ignore=without_compiled)
    for file, text in changed_sources(bug).items():
        (folder / file).write_text(text, encoding="utf-8")
    if bug.compiled:
        subprocess.run([sys.executable, ROOT / "hatch_build.py", folder], check=True)
