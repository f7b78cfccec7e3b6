"""`gapless verify`: recounts every promise from the logs alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, WrongSettings
from gapless_server.cli.output import console, progress, utc, verdict
from gapless_server.cli.paths import logs_argument
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.journal.port import Corrupt, Head, JournalError
from gapless_server.verify.checkpoint_files import CheckpointFile
from gapless_server.verify.log_files import LogFile, find_logs
from gapless_server.verify.recount import Recount, Result

# How many breaches of one log are printed; --json has all.
_BREACHES_SHOWN: Final = 20


# What is known of a log only once it was recounted.
_NUMBERS: Final = (
    "incarnation",
    "rounds",
    "entries",
    "events",
    "head_position",
    "head_commit_time",
    "chain_hash",
)

_RECEIPT: Final = re.compile(r"([1-9][0-9]{0,18}):([0-9a-f]{64})")


def _heads(
    _context: click.Context, _option: click.Parameter, receipts: tuple[str, ...]
) -> tuple[Head, ...]:
    """Returns the heads that were written down as a position, a colon and a chain hash in hex."""
    heads = []
    for receipt in receipts:
        found = _RECEIPT.fullmatch(receipt)
        if found is None:
            raise click.BadParameter(f"{receipt!r} is not a position, a colon and 64 hex digits")
        heads.append(Head(int(found[1]), bytes.fromhex(found[2])))
    return tuple(heads)


@click.command("verify", short_help="Recount every promise from the logs.", epilog=EXIT_CODES_HELP)
@logs_argument
@click.option("--namespace", "-n", metavar="NAME", help="Only the log of this namespace.")
@click.option(
    "--state-hash",
    is_flag=True,
    help="Also print a hash of the state that the log gives: equal logs give equal hashes.",
)
@click.option(
    "--expect",
    "expected",
    multiple=True,
    callback=_heads,
    metavar="POSITION:CHAINHASH",
    help="A head that the log had before, as `gapless status` or a backup told it: that the log"
    " has it still is checked, too. With one log; can be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(
    path: Path, namespace: str | None, state_hash: bool, expected: tuple[Head, ...], as_json: bool
) -> None:
    """Recount every promise from the logs alone; exit with 3 if one is broken.

    A log that cannot be read hides nothing of the others; exit is with 2 if no promise is broken.

    PATH is the data directory of a service, running or not, or one log file, which ends in .db.
    Without it: ./data. Nothing is changed.

    Checked are the hash chain over all bytes, that positions have no hole and commit times never
    decrease, that no request id took effect twice, that the sequences of channels, threads and
    everything else that is numbered have no gap, and that the log, applied anew, gives a state
    with the very numbers that its events add up to. Of what lies beside a log, its witness
    (.head) must not have seen a longer one, and its checkpoint (.state) must have the very rows
    and request ids that the log gives, in the very pages that were written.
    """
    try:
        logs = [log for log in find_logs(path) if namespace in (None, log.stem)]
    except JournalError as error:
        raise WrongSettings(str(error)) from error
    if not logs:
        raise WrongSettings(f"{path} holds no log of a namespace {namespace!r}")
    if expected and len(logs) > 1:
        raise click.UsageError(
            f"--expect is about one log, {path} has {len(logs)}: add --namespace"
        )
    found: dict[Path, dict[str, Any]] = {}
    for log in logs:
        try:
            found[log] = recount_log(log, quiet=as_json, state_hash=state_hash, expected=expected)
        except WrongSettings as error:
            # Nothing about its promises is known, and the others' are asked for as well.
            if len(logs) == 1:
                raise
            found[log] = _not_read(log, str(error))
    if as_json:
        click.echo(json.dumps({str(log): shown for log, shown in found.items()}, indent=2))
    else:
        _print(console(), found)
    _end_by(found)


def recount_log(
    path: Path, *, quiet: bool = False, state_hash: bool = False, expected: Iterable[Head] = ()
) -> dict[str, Any]:
    """Recounts one log under a progress bar. Raises WrongSettings if it is none."""
    _require_looked_at(path)
    recount = Recount(Kernel(KINDS), expected)
    unreadable: list[str] = []
    incarnation = ""
    try:
        with (
            CheckpointFile(path) as checkpoint,
            LogFile(path) as log,
            progress(quiet=quiet) as bar,
        ):
            incarnation = log.incarnation
            recount.compare(checkpoint, incarnation)
            if log.witnessed is not None:
                recount.expect(log.witnessed)
            task = bar.add_task(f"recounting {log.name}", total=log.last_position)
            for position in recount.observe_log(log):
                bar.update(task, completed=position)
            unreadable = log.faults
    except Corrupt as error:
        unreadable = [str(error)]
    except JournalError as error:
        raise WrongSettings(str(error)) from error
    shown = _shown(path, incarnation, recount.finish(), unreadable)
    if state_hash:
        shown["state_hash"] = recount.state_digest().hex()
    return shown


def _require_looked_at(path: Path) -> None:
    """Raises WrongSettings if nobody can tell whether the log, or anything beside it, is there."""
    try:
        path.exists()
    except OSError as error:
        raise WrongSettings(f"{path} cannot be read: {error.strerror or error}") from error


def _shown(path: Path, incarnation: str, result: Result, unreadable: list[str]) -> dict[str, Any]:
    return {
        "namespace": path.stem,
        "incarnation": incarnation,
        "rounds": result.round_count,
        "entries": result.entry_count,
        "events": result.event_count,
        "head_position": result.head.position,
        "head_commit_time": utc(result.head_time_us) if result.head_time_us else None,
        "chain_hash": result.head.chain_hash.hex(),
        "breaches": [*unreadable, *result.breaches],
        "error": None,
    }


def _end_by(found: dict[Path, dict[str, Any]]) -> None:
    """Ends the command by what was found. Raises BrokenPromise, or else WrongSettings."""
    broken = [str(log) for log, shown in found.items() if shown["breaches"]]
    unread = [str(log) for log, shown in found.items() if shown["error"]]
    parts = []
    if broken:
        parts.append(f"{len(broken)} of {len(found)} logs break a promise: {', '.join(broken)}")
    if unread:
        parts.append(f"{len(unread)} of {len(found)} logs cannot be read: {', '.join(unread)}")
    if parts:
        raise (BrokenPromise if broken else WrongSettings)("; ".join(parts))


def _not_read(path: Path, error: str) -> dict[str, Any]:
    return {"namespace": path.stem, **dict.fromkeys(_NUMBERS), "breaches": [], "error": error}


def _print(output: Console, found: dict[Path, dict[str, Any]]) -> None:
    table = Table("namespace", "entries", "events", "head", "committed", "promises")
    for shown in found.values():
        count = len(shown["breaches"])
        if shown["error"]:
            table.add_row(shown["namespace"], "?", "?", "?", "", verdict("?", is_good=False))
            continue
        table.add_row(
            shown["namespace"],
            f"{shown['entries']:,}",
            f"{shown['events']:,}",
            f"{shown['head_position']:,}",
            shown["head_commit_time"] or "",
            verdict(f"broken: {count}" if count else "all hold", is_good=not count),
        )
    output.print(table)
    for shown in found.values():
        if "state_hash" in shown:
            output.print(f"{shown['namespace']}: state hash {shown['state_hash']}")
        if shown["error"]:
            output.print(f"{shown['namespace']}: {shown['error']}", soft_wrap=True)
        for breach in shown["breaches"][:_BREACHES_SHOWN]:
            output.print(f"{shown['namespace']}: {breach}", soft_wrap=True)
        more = len(shown["breaches"]) - _BREACHES_SHOWN
        if more > 0:
            output.print(f"{shown['namespace']}: and {more} more; --json lists them all")
