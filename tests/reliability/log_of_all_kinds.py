"""Data of a real service with every kind of event, as it was left at three moments.

`older` was stopped; `killed` was killed later, with entries in its write-ahead log and a
checkpoint that is behind; `stopped` was stopped later still. All three are of one log.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict

from gapless import Client
from gapless.testing import SubprocessServer
from gapless.v1.commands_pb2 import Command, ExecuteRequest
from gapless.v1.commands_pb2_grpc import CommandServiceStub

NAMESPACE: Final = "all"
OTHER_NAMESPACE: Final = "other"
CHANNEL: Final = "bulk"
CHECKPOINT_ENTRIES: Final = 60
POSTS: Final = 90

# Every kind of command, as the golden logs have them.
_STORY = Path(__file__).resolve().parent.parent / "golden" / "format-1" / "story.jsonl"


@dataclass(frozen=True)
class Moments:
    """The data directories; not to be changed."""

    older: Path
    killed: Path
    stopped: Path


def make(directory: Path) -> Moments:
    """Runs a service, and copies what it leaves behind each time that it ends."""
    moments = Moments(directory / "older", directory / "killed", directory / "stopped")
    home = directory / "service"
    home.mkdir()
    for namespace in (NAMESPACE, OTHER_NAMESPACE):
        with _service(home, namespace) as client:
            client.channels.create(CHANNEL)
            _post(client, "early")
    shutil.copytree(home / "data", moments.older)
    with _service(home, kill=True) as client:
        _tell(client)
        _post(client, "late")
        client.erasures.redact_user(CHANNEL, "ann", "officer", reason="she asked for it")
        _post(client, "tail", POSTS // 2)
    shutil.copytree(home / "data", moments.killed)
    with _service(home) as client:
        _post(client, "last", POSTS // 2)
    shutil.copytree(home / "data", moments.stopped)
    return moments


@contextmanager
def _service(home: Path, namespace: str = NAMESPACE, *, kill: bool = False) -> Iterator[Client]:
    with (
        SubprocessServer(directory=home, checkpoint_entries=CHECKPOINT_ENTRIES) as server,
        server.client(namespace) as client,
    ):
        yield client
        if kill:
            server.kill()


def _post(client: Client, name: str, count: int = POSTS) -> None:
    """Posts messages, some of them long, by which the rounds are of different sizes."""
    for number in range(count):
        client.messages.post(
            CHANNEL, "ann", f"{name} {number} " * (1 + number % 40), request_id=f"{name}{number}"
        )


def _tell(client: Client) -> None:
    """Sends the commands of the story; one that names a time or a token of the story is refused."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in _STORY.read_text().splitlines()]
    for line in lines:
        for command in line.get("commands", ()):
            request = ExecuteRequest(command=ParseDict(command, Command()))
            caller = client.with_options(caller=line["caller"] or None)
            with suppress(grpc.RpcError):
                client.stub(CommandServiceStub).Execute(request, metadata=caller.metadata)
