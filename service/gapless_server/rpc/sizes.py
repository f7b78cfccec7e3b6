"""How large one command may be, so that whoever reads the log can take every entry of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused
from gapless_server.rpc.parsing import has_many_fields

# Not a setting: gRPC clients take messages of up to 4 MiB unless told otherwise, and an entry,
# which is about as large as its command, travels with up to 1 MiB of others. A larger one would
# keep such a client from ever reading past it.
COMMAND_BYTES_MAX: Final = 2 * 1024 * 1024


def require_few_fields(request_type: type[Message], data: bytes) -> None:
    """Raises Refused for bytes that are too large for a command and have very many fields.

    An empty field of a message takes two bytes and as a message a hundred times as much: of a
    request of the largest size, it would hold up all else for seconds to make a message.
    """
    if len(data) > COMMAND_BYTES_MAX and has_many_fields(request_type.DESCRIPTOR, data):
        raise _too_large(len(data))


def require_size(kernel: Kernel, command: Command, size_bytes: int) -> None:
    """Raises Refused if a command is too large.

    The reason is INVALID_FIELD if a single field is to blame, and COMMAND_TOO_LARGE otherwise.
    """
    if size_bytes <= COMMAND_BYTES_MAX:
        return
    kernel.typed(command)
    raise _too_large(size_bytes)


def _too_large(size_bytes: int) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_COMMAND_TOO_LARGE, bytes=size_bytes, bytes_max=COMMAND_BYTES_MAX
    )


def sized(kernel: Kernel, commands: Sequence[Command | Refused]) -> list[Command | Refused]:
    """Returns the members of a frame, each that is too large as the refusal that says so."""
    return [_sized(kernel, command) for command in commands]


def _sized(kernel: Kernel, command: Command | Refused) -> Command | Refused:
    if isinstance(command, Command):
        try:
            require_size(kernel, command, command.ByteSize())
        except Refused as refusal:
            return refusal
    return command
