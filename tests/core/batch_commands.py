"""Short ways to say batches, for the tests of batches."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.guards_pb2 import Guard
from tests.core.story import command_of


def member(message: Message, guards: Sequence[Guard] = ()) -> Command:
    """Returns a command as a member of a batch."""
    command = command_of(message)
    command.guards.extend(guards)
    return command


def batch(*messages: Message, guards: Sequence[Guard] = ()) -> ExecuteBatchRequest:
    """Returns a batch of typed commands, or of members that carry guards already."""
    members = [message if isinstance(message, Command) else member(message) for message in messages]
    return ExecuteBatchRequest(commands=members, guards=guards)
