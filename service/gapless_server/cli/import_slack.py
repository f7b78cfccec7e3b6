"""`gapless import`: replays the events of a Slack workspace into a running service."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gapless_server.cli.client_options import Service, failures_told, untimed_service_options
from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, CommandError
from gapless_server.cli.output import console
from gapless_server.cli.replaying import SENTENCES_SHOWN, run_replay, summary_table
from gapless_server.slack.summary import Summary


@click.command("import", short_help="Replay Slack events into a service.", epilog=EXIT_CODES_HELP)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@untimed_service_options
@click.option(
    "--processes",
    "-p",
    type=click.IntRange(min=1, max=64),
    default=4,
    show_default=True,
    metavar="NUMBER",
    help="How many client processes send at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(paths: tuple[Path, ...], service: Service, processes: int, as_json: bool) -> None:
    """Replay Slack events into a running service, then check what it has.

    PATHS are files of Slack events, one JSON object a line in the order of arrival, or folders
    of files that end in .jsonl. Give all files of a workspace at once.

    Each channel becomes a channel, in which events are replayed in their order; different
    channels are replayed at once. A message's id is its ts. Its request id is its client_msg_id,
    or is made of its channel and ts, so importing the same files again applies nothing twice.
    A reply to a message that is not in the files gets an empty stand-in as its parent. Edits,
    deletions and reactions of messages that are not in the files are left out.

    Slack's own reports of threads are not replayed. They say what the count of replies must be,
    and that is checked at the end, as are gaps, duplicates and acknowledged messages.
    """
    with failures_told(service.address):
        summary = run_replay(
            list(paths), service.address, service.namespace, processes, quiet=as_json
        )
    if as_json:
        click.echo(json.dumps(summary.as_json(), indent=2))
    else:
        console().print(summary_table(summary))
        print_sentences(summary)
    end_by(summary)


def print_sentences(summary: Summary) -> None:
    """Prints what was refused and what is broken, up to a number."""
    output = console()
    for sentences in (summary.tally.refused, summary.findings.breaches()):
        for sentence in sentences[:SENTENCES_SHOWN]:
            output.print(sentence)
        if len(sentences) > SENTENCES_SHOWN:
            output.print(f"and {len(sentences) - SENTENCES_SHOWN} more; --json lists them all")


def end_by(summary: Summary) -> None:
    """Ends the command by what was found. Raises BrokenPromise or CommandError."""
    breaches = summary.findings.breaches()
    if breaches:
        raise BrokenPromise(f"{len(breaches)} promises are broken; the first: {breaches[0]}")
    if summary.tally.refused:
        raise CommandError(
            f"{len(summary.tally.refused)} commands were refused; all others were applied once"
        )
