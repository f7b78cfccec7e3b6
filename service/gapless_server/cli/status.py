"""`gapless status`: what a running service is, and how far its namespaces are."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import click
import grpc
from click.core import ParameterSource
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.table import Table

from gapless import AsyncClient
from gapless.errors import GaplessError, LogCorrupt, NotFoundError, UnavailableError
from gapless_server.cli.client_options import Service, failures_told, no_service, service_options
from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, CommandError
from gapless_server.cli.output import console, utc
from gapless_server.core.times import from_timestamp

# Whoever asks for the status of a service that is down wants to know at once.
_ATTEMPTS_MAX: Final = 2
_NO_ANSWER: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@click.command("status", epilog=EXIT_CODES_HELP)
@service_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of tables.")
@click.option(
    "--health",
    is_flag=True,
    help="Only ask whether the service serves, by the health protocol of gRPC. Opens no namespace.",
)
def command(service: Service, as_json: bool, health: bool) -> None:
    """Show a running service and how far each of its namespaces is.

    The head is the position of the newest entry of a namespace's log. The incarnation is the
    random name of that log; restoring a backup gives it a new one. Each namespace is opened for
    it; of one that cannot be, the error is shown, and exit is with 3 if its log is damaged. With
    --namespace, only that one is shown.
    """
    if health:
        _show_health(service, as_json=as_json)
        return
    with failures_told(service.address):
        status, faults = asyncio.run(_read(service, _named(service)))
    if as_json:
        click.echo(json.dumps(status, indent=2))
    else:
        _print(status)
    if faults:
        damaged = [name for name, fault in faults.items() if isinstance(fault, LogCorrupt)]
        names = ", ".join(faults)
        error = BrokenPromise if damaged else CommandError
        raise error(
            f"{len(faults)} of {len(status['namespaces'])} namespaces cannot be read: {names};"
            " their rows say why"
        )


def _show_health(service: Service, *, as_json: bool) -> None:
    """Prints the health of the service as a whole; fails if it is not SERVING."""
    with grpc.insecure_channel(service.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            found = stub.Check(health_pb2.HealthCheckRequest(), timeout=service.call_seconds)
        except grpc.RpcError as error:
            if error.code() in _NO_ANSWER:
                raise no_service(service.address) from error
            raise CommandError(
                f"the service at {service.address} does not tell its health:"
                f" {error.code().name}: {error.details()}"
            ) from error
    health = health_pb2.HealthCheckResponse.ServingStatus.Name(found.status)
    if found.status != health_pb2.HealthCheckResponse.SERVING:
        raise CommandError(f"the service at {service.address} is {health}, expected SERVING")
    click.echo(json.dumps({"address": service.address, "health": health}) if as_json else health)


def _print(status: dict[str, Any]) -> None:
    output = console()
    output.print(
        f"gapless {status['version']} at {status['address']}, journal {status['journal']}"
        f" {status['journal_version']}, serving since {status['start_time']}"
    )
    table = Table("namespace", "head", "committed", "incarnation")
    for namespace in status["namespaces"]:
        head = namespace["head_position"]
        table.add_row(
            namespace["namespace"],
            "?" if head is None else f"{head:,}",
            namespace["head_commit_time"] or "",
            namespace["incarnation"] or "",
        )
    output.print(table if status["namespaces"] else "It has no namespace yet: send a command.")
    for namespace in status["namespaces"]:
        if namespace["error"]:
            text = f"{namespace['namespace']}: {namespace['error']}"
            output.print(text, soft_wrap=True)


def _named(service: Service) -> list[str] | None:
    """Returns the one namespace that was asked for, or None for all.

    The variable names the namespace to work in, and is no question about it.
    """
    source = click.get_current_context().get_parameter_source("namespace")
    return [service.namespace] if source is ParameterSource.COMMANDLINE else None


async def _read(
    service: Service, named: list[str] | None
) -> tuple[dict[str, Any], dict[str, GaplessError]]:
    """Returns what is shown, and what was wrong with which namespace."""
    faults = {}
    async with service.client(max_attempts=_ATTEMPTS_MAX) as client:
        info = await client.operations.server_info()
        names = named or [name async for name in client.operations.list_namespaces()]
        namespaces = []
        for name in names:
            try:
                namespaces.append(await _read_namespace(client, name))
            except NotFoundError:
                if named:
                    raise
                continue  # its log was taken away meanwhile
            except GaplessError as error:
                # Without a reason of the service's own, it is not there any more.
                if isinstance(error, UnavailableError) and not error.reason:
                    raise
                faults[name] = error
                namespaces.append(_row(name, error=str(error)))
    status = {
        "address": service.address,
        "version": info.version,
        "journal": info.journal,
        "journal_version": info.journal_version,
        "start_time": utc(from_timestamp(info.start_time)),
        "namespaces": namespaces,
    }
    return status, faults


async def _read_namespace(client: AsyncClient, name: str) -> dict[str, Any]:
    found = await client.with_namespace(name).operations.get_namespace()
    committed = found.HasField("head_commit_time")
    return _row(
        name,
        head_position=found.head_position,
        head_commit_time=utc(from_timestamp(found.head_commit_time)) if committed else None,
        incarnation=found.incarnation,
        chain_hash=found.chain_hash.hex(),
    )


def _row(name: str, **known: Any) -> dict[str, Any]:
    """Returns all that is shown of a namespace; what is not known is null."""
    fields = ("head_position", "head_commit_time", "incarnation", "chain_hash", "error")
    return {"namespace": name, **{field: known.get(field) for field in fields}}
