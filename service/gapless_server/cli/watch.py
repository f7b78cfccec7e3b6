"""`gapless watch`: prints the entries of a namespace's log as they are committed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC
from typing import Any, Final

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from gapless import CaughtUp, Entry
from gapless.v1.common_pb2 import Body
from gapless_server.cli.client_options import Service, failures_told, service_options
from gapless_server.cli.exits import EXIT_CODES_HELP
from gapless_server.cli.output import reader_may_leave

# How much of a text is shown on a line that people read.
_TEXT_CHARACTERS: Final = 60


@click.command("watch", epilog=EXIT_CODES_HELP)
@service_options
@click.option(
    "--from",
    "start",
    type=click.Choice(["start", "now"]),
    default="now",
    show_default=True,
    help="Begin with the first entry of the log, or after the newest.",
)
@click.option(
    "--cursor", metavar="CURSOR", help="Begin after the line that had this cursor (see --json)."
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="ID",
    help="Show only events of this channel; can be given again.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="EVENT",
    help="Show only events of this type, such as message_posted; can be given again.",
)
@click.option("--until-caught-up", is_flag=True, help="Stop at the newest entry there is.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object a line: position, cursor, commit_time, request_id, events.",
)
def command(
    service: Service,
    start: str,
    cursor: str | None,
    channels: tuple[str, ...],
    types: tuple[str, ...],
    until_caught_up: bool,
    as_json: bool,
) -> None:
    """Print what is committed, as it is committed; Ctrl-C ends it.

    Goes on by itself when the service was away. With --json, each line has a cursor: begin there
    with --cursor, and nothing is missed and nothing comes twice.
    """
    if cursor == "":
        raise click.BadParameter(
            "it is empty; expected the cursor of a line that --json printed", param_hint="--cursor"
        )
    beginning: dict[str, Any] = {"cursor": cursor} if cursor else {f"from_{start}": True}
    with failures_told(service.address), reader_may_leave():
        asyncio.run(
            _print_entries(
                service,
                {**beginning, "channel_ids": channels or None, "event_types": types or None},
                until_caught_up=until_caught_up,
                as_json=as_json,
            )
        )


async def _print_entries(
    service: Service, wanted: dict[str, Any], *, until_caught_up: bool, as_json: bool
) -> None:
    async with service.client() as client, client.events.watch(**wanted) as watch:
        async for item in watch:
            match item:
                case Entry():
                    lines = [_json_line(item)] if as_json else _readable_lines(item)
                    click.echo("\n".join(lines))
                case CaughtUp() if until_caught_up:
                    return


def _json_line(entry: Entry) -> str:
    shown = MessageToDict(entry.message, preserving_proto_field_name=True)
    # 64-bit numbers are strings in protobuf's JSON; a position fits any JSON number for ages.
    shown["position"] = entry.position
    # A command that changed nothing, as a second join, is an entry too.
    shown.setdefault("events", [])
    # Letters beyond ASCII are escaped: the output may carry none of them, or not as UTF-8.
    return json.dumps({"cursor": entry.cursor, **shown})


def _readable_lines(entry: Entry) -> list[str]:
    time = entry.commit_time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    head = f"{entry.position:>8}  {time}"
    lines = []
    for event in entry.events:
        name = event.WhichOneof("event")
        if name is None:
            lines.append(f"{head}  an event that this version does not know")
        else:
            lines.append(f"{head}  {name}  {_fields(getattr(event, name))}")
    return lines or [f"{head}  (no events)"]


def _fields(message: Message) -> str:
    words = []
    for field, value in message.ListFields():
        if isinstance(value, Body):
            words.append(_text(value))
        elif isinstance(value, (str, int, bool)):
            words.append(f"{field.name}={value}")
        else:
            words.append(f"{field.name}={_shortened(_compact(message, field.name))}")
    return " ".join(words)


def _compact(message: Message, name: str) -> str:
    shown = MessageToDict(message, preserving_proto_field_name=True)[name]
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[: _TEXT_CHARACTERS - 1]}…"


def _text(body: Body) -> str:
    if not body.content_type.startswith("text/"):
        return f"body={len(body.data)} bytes of {body.content_type or 'no type'}"
    return f"body={_shortened(body.data.decode(errors='replace'))!r}"
