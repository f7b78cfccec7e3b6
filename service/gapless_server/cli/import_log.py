"""`gapless import-log`: a namespace made of an exported log."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from gapless_server.backup.import_log import import_lines
from gapless_server.backup.places import place_for
from gapless_server.cli.exits import EXIT_CODES_HELP
from gapless_server.cli.output import progress
from gapless_server.cli.paths import GivenPath
from gapless_server.cli.restore import print_restored, restoring_told
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.writer.clock import SystemClock


@click.command("import-log", short_help="Make a namespace of an export.", epilog=EXIT_CODES_HELP)
# Bytes that are no text are told with their line, once it is read.
@click.argument(
    "file", type=click.File("r", encoding="utf-8", errors="surrogateescape"), metavar="FILE"
)
@click.option(
    "--data",
    type=GivenPath(file_okay=False),
    required=True,
    metavar="DIRECTORY",
    help="The data directory that gets it; no service may run there.",
)
@click.option("--namespace", "-n", required=True, metavar="NAME", help="Its name there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(file: TextIO, data: Path, namespace: str, as_json: bool) -> None:
    """Make a namespace of a log that `gapless export` wrote, where there is no such namespace.

    FILE is that log, or - for standard input. Positions, sequences, times, request ids and
    answers are as they were. Every line is checked, and the first that is not as it was written
    is named; exit with 3 then, and nothing is there. The log gets a new incarnation and an entry
    that says so, as with `gapless restore`.
    """
    with (
        restoring_told(),
        place_for(data, namespace) as place,
        progress(quiet=as_json) as bar,
    ):
        task = bar.add_task(f"importing {namespace}", total=None)
        restored = import_lines(
            file,
            place,
            Kernel(KINDS),
            SystemClock().now_us(),
            lambda number: bar.update(task, completed=number),
        )
    print_restored(restored, as_json=as_json)
