"""`gapless bench`: measures a running service, and checks its answers while it does."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import click
from rich.table import Table

from gapless import new_request_id
from gapless_server.cli.client_options import Service, failures_told, service_options
from gapless_server.cli.exits import EXIT_CODES_HELP, BrokenPromise, CommandError
from gapless_server.cli.numbers import NumberRange
from gapless_server.cli.output import console, progress, verdict
from gapless_server.load.plan import DriverSpec, Load
from gapless_server.load.processes import LoadFailed, run_load
from gapless_server.load.tally import LoadResult

_DRIVERS: Final = {"sdk": "SdkDriver", "unary": "UnaryDriver", "frames": "FrameDriver"}
_ATTEMPTS_MAX: Final = 2


@click.command("bench", short_help="Measure a running service.", epilog=EXIT_CODES_HELP)
@service_options
@click.option(
    "--through",
    type=click.Choice(list(_DRIVERS)),
    default="sdk",
    show_default=True,
    help="The SDK, a unary call a message, or frames made by hand.",
)
@click.option(
    "--processes",
    "-p",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many client processes send at once.",
)
@click.option(
    "--in-flight",
    "-c",
    type=click.IntRange(1, 10_000),
    default=128,
    show_default=True,
    help="Messages, or frames, without an answer at a time in each process.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="Channels to post to, each message to one at random.",
)
@click.option(
    "--frame",
    "frame_posts",
    type=click.IntRange(1, 10_000),
    default=1000,
    show_default=True,
    help="Messages a frame, with --through frames.",
)
@click.option(
    "--seconds",
    type=NumberRange(min=0.1, max=3600),
    default=5.0,
    show_default=True,
    help="How long to measure.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(
    service: Service,
    through: str,
    processes: int,
    in_flight: int,
    channels: int,
    frame_posts: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Post messages as fast as the service takes them; exit with 3 if an answer is wrong.

    The messages have 100 bytes and go to new channels of the namespace, where they stay: use a
    namespace of its own, such as `--namespace bench`. Every answer is checked: the sequences of a
    channel have no gap and none is given twice, and a repeated request id is answered as before.
    """
    load = Load(
        prefix=f"bench-{new_request_id()}",
        processes=processes,
        in_flight=in_flight,
        channels=channels,
        frame_posts=frame_posts if through == "frames" else 0,
        seconds=seconds,
    )
    with failures_told(service.address):
        asyncio.run(_require_service(service))
    result = _run(service, through, load, quiet=as_json)
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        console().print(_table(result))
    if result.breaches:
        raise BrokenPromise(f"an answer breaks a promise: {result.breaches[0]}")


async def _require_service(service: Service) -> None:
    async with service.client(max_attempts=_ATTEMPTS_MAX) as client:
        await client.operations.server_info()


def _run(service: Service, through: str, load: Load, *, quiet: bool) -> LoadResult:
    spec = DriverSpec(
        f"gapless_server.load.gapless_drivers:{_DRIVERS[through]}",
        {"target": service.address, "namespace": service.namespace},
    )
    with progress(quiet=quiet) as bar:
        task = bar.add_task(load.name, total=None)
        try:
            return run_load(spec, load, lambda: bar.update(task))
        except LoadFailed as error:
            raise CommandError(f"the load could not go on: {error}") from error


def _table(result: LoadResult) -> Table:
    table = Table("what", "how many", show_header=False)
    table.add_row("load", result.load.name)
    table.add_row("messages in the measured time", f"{result.posts:,}")
    table.add_row("messages a second", f"{result.posts_per_second:,.0f}")
    table.add_row("latency p50", f"{result.p50_ms:,.2f} ms")
    table.add_row("latency p99", f"{result.p99_ms:,.2f} ms")
    table.add_row("request ids repeated", f"{result.repeats:,}")
    count = len(result.breaches)
    table.add_row("broken promises", verdict(str(count), is_good=not count))
    return table
