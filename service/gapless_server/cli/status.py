"""`gapless status`: what a running service is, and how far its namespaces are."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import click
from rich.table import Table

from gapless.errors import NotFoundError
from gapless_server.cli.client_options import Service, failures_told, service_options
from gapless_server.cli.exits import EXIT_CODES_HELP
from gapless_server.cli.output import console, utc
from gapless_server.core.times import from_timestamp

# Whoever asks for the status of a service that is down wants to know at once.
_ATTEMPTS_MAX: Final = 2


@click.command("status", epilog=EXIT_CODES_HELP)
@service_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of tables.")
def command(service: Service, as_json: bool) -> None:
    """Show a running service and how far each of its namespaces is.

    The head is the position of the newest entry of a namespace's log. The incarnation is the
    random name of that log; restoring a backup gives it a new one.
    """
    with failures_told(service.address):
        status = asyncio.run(_read(service))
    if as_json:
        click.echo(json.dumps(status, indent=2))
        return
    output = console()
    output.print(
        f"gapless {status['version']} at {service.address}, journal {status['journal']}"
        f" {status['journal_version']}, serving since {status['start_time']}"
    )
    table = Table("namespace", "head", "committed", "incarnation")
    for namespace in status["namespaces"]:
        table.add_row(
            namespace["namespace"],
            f"{namespace['head_position']:,}",
            namespace["head_commit_time"] or "",
            namespace["incarnation"],
        )
    output.print(table if status["namespaces"] else "It has no namespace yet: send a command.")


async def _read(service: Service) -> dict[str, Any]:
    async with service.client(max_attempts=_ATTEMPTS_MAX) as client:
        info = await client.operations.server_info()
        names = [name async for name in client.operations.list_namespaces()]
        namespaces = []
        for name in names:
            try:
                found = await client.with_namespace(name).operations.get_namespace()
            except NotFoundError:
                continue
            committed = found.HasField("head_commit_time")
            namespaces.append(
                {
                    "namespace": name,
                    "head_position": found.head_position,
                    "head_commit_time": utc(from_timestamp(found.head_commit_time))
                    if committed
                    else None,
                    "incarnation": found.incarnation,
                    "chain_hash": found.chain_hash.hex(),
                }
            )
        return {
            "address": service.address,
            "version": info.version,
            "journal": info.journal,
            "journal_version": info.journal_version,
            "start_time": utc(from_timestamp(info.start_time)),
            "namespaces": namespaces,
        }
