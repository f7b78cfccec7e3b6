"""`gapless export`: a log as text."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from google.protobuf.message import DecodeError

from gapless_server.backup.export import export_lines
from gapless_server.backup.folders import is_among_data
from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, CommandError, WrongSettings
from gapless_server.cli.output import progress, reader_may_leave
from gapless_server.cli.paths import GivenPath, logs_argument
from gapless_server.cli.whole_files import is_written_directly, written_whole
from gapless_server.journal.port import Corrupt, JournalError
from gapless_server.journal.sqlite_store import LOGS_DIRECTORY
from gapless_server.journal.witness import witness_path
from gapless_server.verify.log_files import LogFile, find_logs

# What SQLite and a checkpoint keep beside a file, by what is added to its name.
_SIDES: Final = ("", "-wal", "-shm", "-journal", "-sum")


@click.command("export", short_help="Write a log as JSON lines.", epilog=EXIT_CODES_HELP)
@logs_argument
@click.option(
    "--namespace", "-n", default="default", show_default=True, metavar="NAME", help="Which log."
)
@click.option(
    "--output",
    "-o",
    type=GivenPath(dir_okay=False, allow_dash=True),
    default="-",
    metavar="FILE",
    help="Where to write it; standard output without this. A file is replaced when all is there.",
)
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def command(path: Path, namespace: str, output: Path, quiet: bool) -> None:
    """Write a log as text, one JSON object a line, which `gapless import-log` takes.

    PATH is the data directory of a service, running or not, or one log file, which ends in .db.
    Without it: ./data. Nothing is changed. Secrets, such as the keys of push subscriptions, are
    in it, as they are in the log.
    """
    try:
        logs = find_logs(path)
        found = logs if logs == [path] else [log for log in logs if log.stem == namespace]
        if not found:
            raise WrongSettings(f"{path} holds no log of a namespace {namespace!r}")
        _require_no_log(output, found[0])
        with (
            reader_may_leave(),
            LogFile(found[0]) as log,
            written_whole(output) as file,
            progress(quiet=quiet) as bar,
        ):
            task = bar.add_task(f"exporting {log.name}", total=log.last_position)
            for position, line in export_lines(log):
                file.write(f"{line}\n")
                bar.update(task, completed=position)
    except DecodeError as error:
        raise BrokenPromise(
            f"{found[0]} has a round that cannot be read; `gapless verify` tells which;"
            f" {_left(output)}"
        ) from error
    except Corrupt as error:
        raise BrokenPromise(f"{error}; {_left(output)}") from error
    except JournalError as error:
        raise WrongSettings(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error}; {_left(output)}") from error


def _require_no_log(output: Path, log: Path) -> None:
    """Refuses to write where the log lies, or anything else of a service."""
    if is_written_directly(output):
        return
    target, source = output.resolve(), log.resolve()
    own = {
        file.with_name(f"{file.name}{side}")
        for file in (source, source.with_suffix(".state"), witness_path(source))
        for side in _SIDES
    }
    beside = target.parent == source.parent.parent / LOGS_DIRECTORY
    if target in own or beside or is_among_data(target):
        raise WrongSettings(
            f"{output} lies among the files of a service; expected a place outside of its data"
            " directory: choose another with --output"
        )


def _left(output: Path) -> str:
    """Says what a failure leaves."""
    if is_written_directly(output):
        return "what was written is not whole"
    return f"what was at {output} before is as it was"
