"""The queue of a namespace: frames of commands that wait for the writer, within limits (G7)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless_server.core.refusals import Refused
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.rounds import Outcome

if TYPE_CHECKING:  # it may not have been built
    from gapless_server.compiled.frames import PostFrame


class Frame:
    """Commands that came together, and the future of their outcomes, in the same order.

    A member that could not even be parsed is the refusal that says so. `may_wait` is for a frame
    of one command, whose outcome keeps nothing else waiting. `found` is, if there are any, where
    in the frame the commands are that may be decided in runs.
    """

    __slots__ = ("caller", "commands", "found", "may_wait", "outcomes", "size_bytes")

    def __init__(
        self,
        commands: Sequence[Command | Refused],
        caller: str,
        size_bytes: int,
        *,
        may_wait: bool = False,
        found: PostFrame | None = None,
    ) -> None:
        self.found = found
        self.commands = commands
        self.caller = caller
        self.size_bytes = size_bytes
        self.may_wait = may_wait
        self.outcomes: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    def let_go(self) -> None:
        """Holds nothing of what it asked for any more: it is refused, and may wait for long."""
        self.commands, self.found = (), None


class FrameQueue:
    """Frames in the order of their arrival."""

    def __init__(self, namespace: str, limits: WriterLimits) -> None:
        self._namespace = namespace
        self._limits = limits
        self._frames: list[Frame] = []
        self._commands = 0
        self._bytes = 0

    def __len__(self) -> int:
        """How many frames wait."""
        return len(self._frames)

    def has_only_calls(self) -> bool:
        """Whether no frame is one of a pipeline."""
        return all(frame.may_wait for frame in self._frames)

    def put(self, frame: Frame) -> None:
        """Adds a frame. Raises Refused, reason QUEUE_FULL."""
        limits = self._limits
        if self._commands + len(frame.commands) > limits.queue_commands_max:
            raise self._full(limits.queue_commands_max, "commands")
        if self._bytes + frame.size_bytes > limits.queue_bytes_max:
            raise self._full(limits.queue_bytes_max, "bytes")
        self._frames.append(frame)
        self._commands += len(frame.commands)
        self._bytes += frame.size_bytes

    def take_round(self) -> list[Frame]:
        """Takes all that waits, without waiting for more, up to the limit of a round.

        Frames whose callers have gone are dropped: under overload others wait behind them.
        """
        if len(self._frames) == 1 and not self._frames[0].outcomes.cancelled():
            # As for a caller by itself, whose time counts most.
            return self.take_all()
        taken: list[Frame] = []
        commands = left = 0
        for frame in self._frames:
            if frame.outcomes.cancelled():
                left += 1
            elif taken and commands + len(frame.commands) > self._limits.round_commands_max:
                break
            else:
                taken.append(frame)
                commands += len(frame.commands)
        removed = self._frames[: len(taken) + left]
        del self._frames[: len(removed)]
        self._commands -= sum(len(frame.commands) for frame in removed)
        self._bytes -= sum(frame.size_bytes for frame in removed)
        return taken

    def put_back(self, frames: list[Frame]) -> None:
        """Puts frames that were taken and not begun before all others."""
        if not frames:
            return
        self._frames[:0] = frames
        self._commands += sum(len(frame.commands) for frame in frames)
        self._bytes += sum(frame.size_bytes for frame in frames)

    def take_all(self) -> list[Frame]:
        """Empties the queue."""
        taken, self._frames = self._frames, []
        self._commands = self._bytes = 0
        return taken

    def _full(self, limit: int, unit: str) -> Refused:
        return Refused(
            errors_pb2.ERROR_REASON_QUEUE_FULL,
            retry_after_seconds=self._limits.retry_after_seconds,
            namespace=self._namespace,
            limit=limit,
            unit=unit,
        )
