"""Makes frames for the writer, of those of a pipeline and of calls of one command.

Besides the commands, a frame says where in its bytes those are that can be decided in runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final, overload

from google.protobuf.message import Message

from gapless.v1.commands_pb2 import Command
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.rpc.parsing import command_parser, parse_frame, parse_member
from gapless_server.rpc.sizes import COMMAND_BYTES_MAX, require_few_fields, require_size, sized
from gapless_server.writer.queue import Frame

if TYPE_CHECKING:  # it may not have been built
    from gapless_server.compiled.frames import PostFrame

# What a command has around its request at most: a tag and a length.
_UNION_BYTES: Final = 8


class FrameTaker:
    """Makes frames for the writer of the bytes that came."""

    def __init__(self, kernel: Kernel, commands_max: int) -> None:
        self._kernel = kernel
        self._commands_max = commands_max
        self._reader = None if kernel.runs is None else kernel.runs.reader()

    def frame(self, data: bytes, caller: str) -> Frame:
        """Takes a frame apart.

        Raises Refused if it is none: MALFORMED_MESSAGE, FRAME_TOO_LARGE or INVALID_FIELD.
        """
        found = None if self._reader is None else self._reader.frame(data, self._commands_max)
        commands: Sequence[Command | Refused]
        if found is not None:
            commands = FoundCommands(found)
        else:
            commands = parse_frame(data, self._commands_max, _parse_one)
        if not commands:
            raise invalid_field("commands", "must have at least one command")
        if len(data) > COMMAND_BYTES_MAX and (found is None or found.has_others(COMMAND_BYTES_MAX)):
            commands, found = sized(self._kernel, commands), None
        return Frame(commands, caller, len(data), found=found)


# Makes a frame of the bytes of a call, for a caller. Raises Refused.
TakeCall = Callable[[bytes, str], Frame]


def call_taker(kernel: Kernel, request_type: type[Message], field: str) -> TakeCall:
    """Returns what makes frames of calls of one command; `field` is that in Command."""
    parse_command = command_parser(request_type, field)
    runs = kernel.runs
    reader = None if runs is None or runs.command_type is not request_type else runs.reader()

    def take(data: bytes, caller: str) -> Frame:
        found = None if reader is None else reader.request(data)
        # A command is a little longer than its request, by the field that it is in.
        size_bytes = len(data) + _UNION_BYTES
        if found is not None:
            asked = _AskedCommand(data, parse_command)
            return Frame(asked, caller, size_bytes, may_wait=True, found=found)
        require_few_fields(request_type, data)
        command = parse_command(data)
        if size_bytes > COMMAND_BYTES_MAX:
            size_bytes = command.ByteSize()
            require_size(kernel, command, size_bytes)
        # If it has to wait for something, it keeps nobody waiting but its own caller.
        return Frame([command], caller, size_bytes, may_wait=True)

    return take


class _AskedCommand(Sequence[Command | Refused]):
    """The one command of a call, parsed when somebody asks for it."""

    def __init__(self, data: bytes, parse_command: Callable[[bytes], Command]) -> None:
        self._data = data
        self._parse_command = parse_command

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, index: int) -> Command | Refused: ...
    @overload
    def __getitem__(self, index: slice) -> list[Command | Refused]: ...
    def __getitem__(self, index: int | slice) -> Command | Refused | list[Command | Refused]:
        commands: list[Command | Refused] = [self._parse_command(self._data)]
        return commands[index]


class FoundCommands(Sequence[Command | Refused]):
    """The commands of a frame that was taken apart; each is parsed when somebody asks for it."""

    def __init__(self, found: PostFrame) -> None:
        self._found = found
        self._looks = count(1)

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Command | Refused: ...
    @overload
    def __getitem__(self, index: slice) -> list[Command | Refused]: ...
    def __getitem__(self, index: int | slice) -> Command | Refused | list[Command | Refused]:
        if isinstance(index, slice):
            return [self._parsed(one) for one in range(*index.indices(len(self)))]
        return self._parsed(index)

    def _parsed(self, index: int) -> Command | Refused:
        return _parse_one(self._found.member(index), self._looks)


def _parse_one(data: bytes, looks: Iterator[int]) -> Command | Refused:
    """Does what `parse_member` does, and makes no message that is too large of many fields."""
    try:
        require_few_fields(Command, data)
    except Refused as refusal:
        return refusal
    return parse_member(data, looks)
