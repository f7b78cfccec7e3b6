"""What the commands print with: tables and progress bars for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from gapless_server.cli.standard_error import StandardError

# Where there is no terminal to fit into, nothing is folded.
_WIDTH_WITHOUT_TERMINAL: Final = 200


def console(*, stderr: bool = False) -> Console:
    """Returns a console on standard output, or on standard error, where what is lost is no matter.

    It takes text as it is: names and paths of the operator's may look like markup.
    """
    stream = cast("TextIO", StandardError()) if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def progress(*, quiet: bool = False) -> Progress:
    """Returns a progress bar on standard error, so that standard output can be piped."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        disable=quiet,
    )


def verdict(text: str, *, is_good: bool) -> Text:
    """Returns a text for a table: green, or red where something is wrong."""
    return Text(text, style="green" if is_good else "red")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends in order when whoever reads standard output has enough, as `head` does."""
    try:
        yield
    except BrokenPipeError:
        # What is still buffered goes nowhere, also when the interpreter writes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def utc(time_us: int) -> str:
    """Returns a moment, in microseconds since the Unix epoch, as people and programs read it."""
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return moment.replace(microsecond=time_us % 1_000_000).isoformat(timespec="milliseconds")
