"""`gapless demo`: the main job end to end, with a kill in the middle of it."""

from __future__ import annotations

import json
import time
from importlib import resources
from pathlib import Path
from typing import Any, Final

import click

from gapless.testing import ServerError, SubprocessServer
from gapless_server.cli.client_options import failures_told
from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, CommandError
from gapless_server.cli.import_slack import end_by, print_sentences
from gapless_server.cli.output import console, verdict
from gapless_server.cli.replaying import run_replay, summary_table
from gapless_server.cli.verify import recount_log
from gapless_server.slack.summary import Summary

_NAMESPACE: Final = "demo"

# How long to look for a commit that is under way, before killing the service anyhow.
_COMMIT_SECONDS_MAX: Final = 1.0


@click.command("demo", short_help="Replay, kill, start again, check.", epilog=EXIT_CODES_HELP)
@click.option(
    "--events",
    "paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Slack events to replay instead of the bundled sample: a file or a folder.",
)
@click.option(
    "--processes",
    "-p",
    type=click.IntRange(min=1, max=64),
    default=8,
    show_default=True,
    metavar="NUMBER",
    help="How many client processes send at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(paths: tuple[Path, ...], processes: int, as_json: bool) -> None:
    """Replay a workspace, kill the service half-way, and check every promise.

    Starts a service of its own on a free port with its data in a temporary directory, has
    several client processes replay a workspace's events at once, kills the service with SIGKILL
    in the middle of a commit, starts it again while the clients go on, and then checks what it
    has: by reading everything back, and by recounting the log.
    """
    events = list(paths) or [bundled_sample()]
    if not as_json:
        console(stderr=True).print(
            f"A service in a temporary directory, {processes} client processes, one SIGKILL."
        )
    try:
        with SubprocessServer() as server:
            run = _Run(server)
            with failures_told(server.address):
                summary = run_replay(
                    events,
                    server.address,
                    _NAMESPACE,
                    processes,
                    quiet=as_json,
                    on_done=run.kill_half_way,
                )
            server.stop()
            recounted = recount_log(run.log, quiet=as_json)
    except ServerError as error:
        raise CommandError(str(error)) from error
    _print(summary, run, recounted, as_json=as_json)
    if recounted["breaches"]:
        raise BrokenPromise(f"the log breaks a promise: {recounted['breaches'][0]}")
    end_by(summary)


def bundled_sample() -> Path:
    """The events that come with the package; made up, nobody's words."""
    return Path(str(resources.files("gapless_server") / "data/sample-events.jsonl"))


class _Run:
    """One demo: its service, and the kill."""

    def __init__(self, server: SubprocessServer) -> None:
        self._server = server
        self.killed_after: int | None = None
        self.away_seconds = 0.0

    @property
    def log(self) -> Path:
        """The file of the demo's log."""
        return self._server.directory / "data" / "namespaces" / f"{_NAMESPACE}.db"

    def kill_half_way(self, done: int, total: int) -> None:
        """Kills the service once half is done, and starts it again on the same data."""
        if not self._server.is_running:
            tail = self._server.log_tail()
            raise CommandError(f"the service ended by itself; its log ends with:\n{tail}")
        if self.killed_after is not None or done < total / 2:
            return
        self.killed_after = done
        self._wait_for_commit()
        began = time.monotonic()
        self._server.kill()
        self._server.start()
        self.away_seconds = time.monotonic() - began

    def _wait_for_commit(self) -> None:
        """Returns while a commit is under way: what it holds has no answer yet, but may stay."""
        write_ahead_log = self.log.with_name(f"{self.log.name}-wal")
        give_up_time = time.monotonic() + _COMMIT_SECONDS_MAX
        before = write_ahead_log.stat()
        while time.monotonic() < give_up_time:
            now = write_ahead_log.stat()
            if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                return


def _print(summary: Summary, run: _Run, recounted: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        shown = {
            **summary.as_json(),
            "killed_after_commands": run.killed_after,
            "away_seconds": round(run.away_seconds, 3),
            "recount": recounted,
        }
        click.echo(json.dumps(shown, indent=2))
        return
    table = summary_table(summary)
    table.add_section()
    table.add_row("service killed after", f"{run.killed_after or 0:,} of {summary.tally.sent:,}")
    table.add_row("  and away for, latencies included", f"{run.away_seconds:.1f} s")
    table.add_row("log recounted", f"{recounted['entries']:,} entries")
    count = len(recounted["breaches"])
    table.add_row("broken promises in it", verdict(str(count), is_good=not count))
    console().print(table)
    print_sentences(summary)
