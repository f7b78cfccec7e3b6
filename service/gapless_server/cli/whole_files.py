"""Files that take the place of others once they are whole."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

_STANDARD_OUTPUT: Final = "-"
# Names of what is open already: behind them may lie a regular file that somebody else goes on with.
_OPEN_ALREADY: Final = ("/dev/std", "/dev/fd/", "/proc/")


@contextmanager
def written_whole(path: Path) -> Iterator[IO[Any]]:
    """Gives a file to write, which takes the place of the one at `path` once it is whole.

    Until then, and if it does not come to that, what was at `path` stays. A new file is for its
    owner alone; one that takes the place of another has that one's mode. What is no regular file,
    as a pipe or `-`, is written directly. Raises OSError.
    """
    if is_written_directly(path):
        with click.open_file(str(path), "w", encoding="utf-8") as file:
            yield file
            file.flush()
        return
    # A symlink stays one: the file that it leads to is replaced.
    target = path.resolve()
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.draft")
    try:
        # There may be secrets in it, and its folder may be anybody's.
        draft.touch(mode=0o600, exist_ok=False)
        with draft.open("w", encoding="utf-8") as file:
            if target.exists():
                shutil.copymode(target, draft)
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def is_written_directly(path: Path) -> bool:
    """Says whether a path is no file that could be replaced, but a pipe, a device or the like."""
    is_open = str(path) == _STANDARD_OUTPUT or str(path.absolute()).startswith(_OPEN_ALREADY)
    return is_open or (path.exists() and not path.is_file())
