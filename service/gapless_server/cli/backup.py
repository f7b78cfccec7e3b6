"""`gapless backup`: a copy of a namespace's log, taken from a running service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import click
import msgspec

from gapless.v1.operations_pb2 import BackupNamespaceResponse
from gapless_server.backup.faults import DamagedBackup, PlaceTaken
from gapless_server.backup.folders import require_free, write_backup
from gapless_server.backup.manifest import Manifest, manifest_of
from gapless_server.cli.client_options import Service, failures_told, untimed_service_options
from gapless_server.cli.exits import EXIT_CODES_HELP, CommandError, WrongSettings
from gapless_server.cli.output import progress
from gapless_server.cli.paths import GivenPath


@click.command(
    "backup", short_help="Copy a namespace's log out of a service.", epilog=EXIT_CODES_HELP
)
@click.argument("folder", type=GivenPath())
@untimed_service_options
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as a JSON object.")
def command(folder: Path, service: Service, as_json: bool) -> None:
    """Copy the log of a namespace out of a running service, while it goes on.

    FOLDER must not be there, or be empty. It gets the log and a manifest that says which
    namespace, up to which position, and the hashes of both; or, if anything fails, nothing.
    Everything that was acknowledged before this began is in it. `gapless restore` takes it.
    """
    try:
        require_free(folder)
        with failures_told(service.address), progress(quiet=as_json) as bar:
            task = bar.add_task(f"backing up {service.namespace}", total=None)

            def on_progress(manifest: Manifest, size_bytes: int) -> None:
                bar.update(task, total=manifest.size_bytes, completed=size_bytes)

            manifest = asyncio.run(_back_up(service, folder, on_progress))
    except PlaceTaken as error:
        raise WrongSettings(str(error)) from error
    except (DamagedBackup, OSError) as error:
        raise CommandError(f"nothing was backed up: {error}") from error
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **msgspec.to_builtins(manifest)}, indent=2))
        return
    click.echo(
        f"{folder} has namespace {manifest.namespace} up to position {manifest.head_position:,},"
        f" {manifest.size_bytes:,} bytes. Receipt: {manifest.head_position}:{manifest.chain_hash}"
    )


async def _back_up(
    service: Service, folder: Path, on_progress: Callable[[Manifest, int], None]
) -> Manifest:
    async with service.client() as client:
        parts = client.operations.backup_namespace()
        first = await anext(parts)
        manifest = manifest_of(first.manifest)
        await write_backup(
            folder, manifest, _chunks(parts), lambda size: on_progress(manifest, size)
        )
        return manifest


async def _chunks(parts: AsyncIterator[BackupNamespaceResponse]) -> AsyncIterator[bytes]:
    async for part in parts:
        yield part.chunk
