"""`gapless config`: each setting, its value, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from gapless_server.cli.configuration import Configuration
from gapless_server.cli.output import console
from gapless_server.cli.settings_options import settings_options


@click.command("config")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(configuration: Configuration, as_json: bool) -> None:
    """Show each setting, its value, and where the value came from.

    Takes the same flags, environment variables and file as `gapless serve`, so it tells what
    `gapless serve` would run with when called in the same way.
    """
    if as_json:
        shown = {
            found.name: {"value": _plain(found.value), "source": found.source}
            for found in configuration.values
        }
        click.echo(json.dumps(shown, indent=2))
        return
    table = Table()
    for column in ("setting", "value", "came from"):
        table.add_column(column, no_wrap=column == "setting", overflow="fold")
    for found in configuration.values:
        table.add_row(found.name, _text(found.value), found.source)
    console().print(table)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _text(value: object) -> str:
    """The value as it is written in a file or a variable."""
    return str(value).lower() if isinstance(value, bool) else str(value)
