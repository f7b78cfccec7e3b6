"""`gapless restore`: a namespace made of a backup."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gapless_server.backup.faults import DamagedBackup, PlaceTaken, UnusableBackup
from gapless_server.backup.manifest import read_manifest
from gapless_server.backup.places import Restored, place_for
from gapless_server.backup.restore import restore
from gapless_server.cli.exits import (
    EXIT_CODES_HELP,
    BrokenPromise,
    CommandError,
    InUse,
    WrongSettings,
)
from gapless_server.cli.output import progress
from gapless_server.cli.paths import GivenPath
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.journal.port import OwnedElsewhere
from gapless_server.writer.clock import SystemClock


@click.command("restore", short_help="Make a namespace of a backup.", epilog=EXIT_CODES_HELP)
@click.argument("backup", type=GivenPath())
@click.option(
    "--data",
    type=GivenPath(file_okay=False),
    required=True,
    metavar="DIRECTORY",
    help="The data directory that gets it; no service may run there.",
)
@click.option(
    "--namespace", "-n", metavar="NAME", help="Its name there, if not the one that it had."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(backup: Path, data: Path, namespace: str | None, as_json: bool) -> None:
    """Make a namespace of a backup, in a data directory that has no such namespace.

    BACKUP is a folder that `gapless backup` wrote. First its size, its hash, the chain of its log
    and every promise are checked, as by `gapless verify`; exit with 3 if one is broken. Then the
    log gets a new incarnation, and an entry that says so: cursors of the old one are told to
    begin again, and locks that were held are free. Nothing is there until all of it is.
    """
    with restoring_told():
        manifest = read_manifest(backup)
        with (
            place_for(data, namespace or manifest.namespace) as place,
            progress(quiet=as_json) as bar,
        ):
            task = bar.add_task(f"checking {manifest.namespace}", total=manifest.head_position)
            restored = restore(
                backup,
                manifest,
                place,
                Kernel(KINDS),
                SystemClock().now_us(),
                lambda position: bar.update(task, completed=position),
            )
    print_restored(restored, as_json=as_json)


@contextmanager
def restoring_told() -> Iterator[None]:
    """Turns what can go wrong with a restore into a sentence and an exit code."""
    try:
        yield
    except (UnusableBackup, PlaceTaken) as error:
        raise WrongSettings(str(error)) from error
    except DamagedBackup as error:
        raise BrokenPromise(f"{error}; nothing was restored") from error
    except OwnedElsewhere as error:
        raise InUse(str(error)) from error
    except (OSError, sqlite3.Error) as error:
        raise CommandError(
            f"nothing was restored: {error}; expected a data directory"
            " that can be written and has room for the log: make room, and restore it again"
        ) from error


def print_restored(restored: Restored, *, as_json: bool) -> None:
    """Prints what a restore came to."""
    if as_json:
        shown = {
            "namespace": restored.namespace,
            "path": str(restored.path),
            "previous_incarnation": restored.previous_incarnation,
            "previous_position": restored.previous_head.position,
            "previous_chain_hash": restored.previous_head.chain_hash.hex(),
            "incarnation": restored.incarnation,
            "head_position": restored.head.position,
            "chain_hash": restored.head.chain_hash.hex(),
        }
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo(
        f"{restored.path} has namespace {restored.namespace} as incarnation"
        f" {restored.previous_incarnation} had it at position"
        f" {restored.previous_head.position:,}; it is incarnation {restored.incarnation} now"
    )
