"""`gapless export`: a log as text."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from gapless_server.backup.export import export_lines
from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, CommandError, WrongSettings
from gapless_server.cli.output import progress, reader_may_leave
from gapless_server.journal.port import Corrupt, JournalError
from gapless_server.verify.log_files import LogFile, find_logs


@click.command("export", short_help="Write a log as JSON lines.", epilog=EXIT_CODES_HELP)
@click.argument(
    "path", type=click.Path(path_type=Path), default=Path("data"), envvar="GAPLESS_DATA"
)
@click.option(
    "--namespace", "-n", default="default", show_default=True, metavar="NAME", help="Which log."
)
@click.option(
    "--output",
    "-o",
    type=click.File("w", encoding="utf-8", lazy=False),
    default="-",
    metavar="FILE",
    help="Where to write it; standard output without this.",
)
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def command(path: Path, namespace: str, output: TextIO, quiet: bool) -> None:
    """Write a log as text, one JSON object a line, which `gapless import-log` takes.

    PATH is the data directory of a service, running or not, or one log file, which ends in .db.
    Without it: ./data. Nothing is changed. Secrets, such as the keys of push subscriptions, are
    in it, as they are in the log.
    """
    try:
        logs = find_logs(path)
        found = logs if path.is_file() else [log for log in logs if log.stem == namespace]
        if not found:
            raise WrongSettings(f"{path} holds no log of a namespace {namespace!r}")
        with LogFile(found[0]) as log, progress(quiet=quiet) as bar, reader_may_leave():
            task = bar.add_task(f"exporting {log.name}", total=log.last_position)
            for position, line in export_lines(log):
                output.write(f"{line}\n")
                bar.update(task, completed=position)
            output.flush()
    except Corrupt as error:
        raise BrokenPromise(f"{error}; what was written is not whole") from error
    except JournalError as error:
        raise WrongSettings(str(error)) from error
    except OSError as error:
        raise CommandError(f"what was written is not whole: {error}") from error
