"""Takes frames apart: into commands, and where in them those are that are decided in runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from gapless.v1.commands_pb2 import Command
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.rpc.parsing import parse_frame, parse_member
from gapless_server.rpc.sizes import COMMAND_BYTES_MAX, sized
from gapless_server.writer.queue import Frame

if TYPE_CHECKING:  # it may not have been built
    from gapless_server.compiled.frames import PostFrame


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
        commands = parse_frame(data, self._commands_max) if found is None else FoundCommands(found)
        if not commands:
            raise invalid_field("commands", "must have at least one command")
        if len(data) > COMMAND_BYTES_MAX and (found is None or found.has_others(COMMAND_BYTES_MAX)):
            commands, found = sized(self._kernel, commands), None
        return Frame(commands, caller, len(data), found=found)


class FoundCommands(Sequence[Command | Refused]):
    """The commands of a frame that was taken apart; each is parsed when somebody asks for it."""

    def __init__(self, found: PostFrame) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Command | Refused: ...
    @overload
    def __getitem__(self, index: slice) -> list[Command | Refused]: ...
    def __getitem__(self, index: int | slice) -> Command | Refused | list[Command | Refused]:
        member = self._found.member
        if isinstance(index, slice):
            return [parse_member(member(one)) for one in range(*index.indices(len(self)))]
        return parse_member(member(index))
