"""What both colours do with the commands of a batch: put them together, and hand out the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from gapless._commands import CommandRequest, new_command
from gapless.v1.commands_pb2 import Command, ExecuteBatchResponse


class Collected(NamedTuple):
    """A command that was taken note of."""

    field: str
    request: CommandRequest
    # What the caller was given; empty until the batch is committed.
    response: Message


def members(collected: Sequence[Collected]) -> list[Command]:
    """The commands as members of a batch, whose own request id stands for all."""
    commands = [new_command(**{one.field: one.request}) for one in collected]
    for one, command in zip(collected, commands, strict=True):
        getattr(command, one.field).request_id = ""
    return commands


def fill_in(collected: Sequence[Collected], answer: ExecuteBatchResponse) -> None:
    """Gives each caller its response, with a receipt as the command alone would have got."""
    for one, result, changed in zip(collected, answer.results, answer.changed, strict=True):
        response: Any = one.response
        response.MergeFrom(getattr(result, one.field))
        response.receipt.MergeFrom(answer.receipt)
        response.receipt.changed = changed
