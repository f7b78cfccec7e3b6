"""A real log to recount, and copies of it that were tampered with."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gapless.testing import SubprocessServer
from gapless_server.journal.port import EMPTY_HEAD, Round, link
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.log_files import LogFile

NAMESPACE = "story"
ENTRIES = 12
HEAD = ENTRIES


def make_log(directory: Path) -> Path:
    """Runs a service, has it commit twelve commands one after another, and returns its data."""
    with SubprocessServer(directory=directory) as server, server.client(NAMESPACE) as client:
        client.channels.create(channel_id="c1", request_id="r1")
        client.channels.create(channel_id="c2", first_sequence=100, request_id="r2")
        for number in range(3, 7):
            client.messages.post(
                "c1", "ann", f"text {number}", message_id=f"m{number}", request_id=f"r{number}"
            )
        client.threads.reply("c1", "m3", "bob", "first", message_id="m7", request_id="r7")
        client.threads.reply("c1", "m3", "bob", "second", message_id="m8", request_id="r8")
        client.messages.delete("c1", "m8", request_id="r9")
        client.messages.edit("c1", "m3", "new text", request_id="r10")
        client.memberships.join("c1", "ann", request_id="r11")
        client.memberships.join("c1", "ann", request_id="r12")  # changes nothing
    return directory / "data"


def log_of(data: Path) -> Path:
    """Returns the file of the story's log."""
    return data / "namespaces" / f"{NAMESPACE}.db"


def copy_of(data: Path, directory: Path) -> Path:
    """Copies the data of a stopped service, and returns the copied log."""
    return log_of(shutil.copytree(data, directory / "copy"))


def rounds_of(log: Path) -> list[Round]:
    """Returns the rounds of a log."""
    with LogFile(log) as file:
        return list(file.rounds())


def change(log: Path, statement: str, *values: Any) -> None:
    """Tampers with a log file."""
    connection = sqlite3.connect(log)
    with connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def chained(rounds: Sequence[Round]) -> list[Round]:
    """Returns the rounds with the hashes that their bytes should have: a forgery."""
    head = EMPTY_HEAD.chain_hash
    forged = []
    for record in rounds:
        head = link(head, record.first_position, record.last_position, record.committed_digest)
        forged.append(record._replace(chain_hash=head))
    return forged


def with_round(
    rounds: Sequence[Round], position: int, edit: Callable[[StoredRound], None]
) -> list[Round]:
    """Returns the rounds with the one at a position edited, and forged to fit the chain."""
    edited = []
    for record in rounds:
        if record.first_position <= position <= record.last_position:
            stored = StoredRound.FromString(record.data)
            edit(stored)
            record = record._replace(data=stored.SerializeToString())
        edited.append(record)
    return chained(edited)
