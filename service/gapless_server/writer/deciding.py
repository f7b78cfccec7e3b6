"""Decides a round: what ends by itself, who has waited enough, and the frames that came.

Whatever is over by the time of the round ends before anything else is decided: no command ever
finds a lock whose time is over. When something becomes free, the first in line for it is served
right then, before the next command: nobody comes between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import NamedTuple

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless_server.core.batches import TypedBatch
from gapless_server.core.commands import LongCommand, MustWait
from gapless_server.core.refusals import Refused
from gapless_server.core.times import MICROSECONDS
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from gapless_server.writer.breath import Breath
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.lines import Lines, Waiter
from gapless_server.writer.queue import Frame
from gapless_server.writer.rounds import AnyTyped, EntryNeeded, Outcome, RoundBuilder, Stepped

# So many commands are read, then decided, then written, as what they need then stays in the
# processor's caches: see RoundBuilder.write_in_steps.
COMMANDS_AT_A_TIME = 50


class Decided(NamedTuple):
    """A frame and what became of its commands."""

    frame: Frame
    outcomes: list[Outcome]


# Returns the entries, by position, of the durable round that holds a position. Raises Refused.
LoadRound = Callable[[int], Awaitable[dict[int, StoredEntry]]]


class RoundDecider:
    """Decides one round, with a breath for the event loop now and then."""

    def __init__(
        self,
        builder: RoundBuilder,
        lines: Lines,
        load_round: LoadRound,
        loaded: dict[int, StoredEntry],
        limits: WriterLimits,
        breath: Breath,
    ) -> None:
        """`loaded` is where the builder finds the entries that were loaded for it."""
        self._builder = builder
        self._lines = lines
        self._load_round = load_round
        self._loaded = loaded
        self._limits = limits
        self._bytes_max = limits.round_bytes_max
        self._breath = breath
        # Whose outcomes are to be released once the round is durable.
        self.decided: list[Decided] = []

    async def decide(self, frames: list[Frame]) -> list[Frame]:
        """Decides everything that is due, and the frames, in order, until the round is full.

        Returns the frames that are left for the next round.
        """
        await self._end_what_is_over()
        await self._refuse_who_waited_enough()
        for index, frame in enumerate(frames):
            if self._builder.size_bytes > self._bytes_max:
                return frames[index:]
            await self._decide_frame(frame)
        return []

    async def _end_what_is_over(self) -> None:
        """Ends all of it in this round, however much: nothing may be decided before."""
        while self._builder.expire():
            await self._serve_lines()
            await self._write()

    async def _refuse_who_waited_enough(self) -> None:
        for waiter in self._lines.take_overdue(self._builder.uptime_us):
            outcome = await self._run_again(waiter.frame)
            if isinstance(outcome, MustWait):
                outcome = outcome.refusal
            self.decided.append(Decided(waiter.frame, [outcome]))

    async def _decide_frame(self, frame: Frame) -> None:
        outcomes: list[Outcome] = []
        start, count = 0, len(frame.commands)
        # A frame may lead to many times its own size, and its answer is one message.
        full_bytes = self._builder.size_bytes + self._bytes_max
        while start < count:
            stop = min(start + COMMANDS_AT_A_TIME, count)
            if frame.found is not None:
                if self._breath.is_due:
                    await self._breath.take()
                answers = self._builder.decide_run(
                    frame.found, start, stop, frame.caller, full_bytes, is_call=frame.may_wait
                )
                if answers is not None:
                    outcomes.append(answers)
                    start += answers.count
                    continue
                # The first of these is none for a run, whatever the others are.
                stop = frame.found.next_post(start + 1, stop)
            if not await self._decide_some(frame, start, stop, outcomes, full_bytes):
                return
            start = stop
        self.decided.append(Decided(frame, outcomes))

    async def _decide_some(
        self, frame: Frame, start: int, stop: int, outcomes: list[Outcome], full_bytes: int
    ) -> bool:
        """Decides commands of a frame one by one; False if the frame has to wait in line."""
        outcome: Outcome | MustWait
        builder, caller, may_wait = self._builder, frame.caller, frame.may_wait
        for typed in await self._read(frame.commands[start:stop]):
            if self._breath.is_due:
                await self._breath.take()
            if isinstance(typed, Refused):
                outcomes.append(typed)
                continue
            if builder.size_bytes > full_bytes:
                outcomes.append(self._too_much)
                continue
            # No coroutine for a command that needs nothing from disk: nearly every one.
            try:
                if isinstance(typed, (TypedBatch, LongCommand)):
                    outcome = await self._decide_in_steps(typed, caller)
                else:
                    outcome = builder.decide(typed, caller, may_wait=may_wait)
            except EntryNeeded as needed:
                outcome = await self._decide_with(needed.position, typed, frame)
            if isinstance(outcome, MustWait):
                if (refusal := self._put_in_line(frame, outcome)) is None:
                    return False
                outcome = refusal
            outcomes.append(outcome)
            if builder.freed:
                await self._serve_lines()
        if builder.unwritten >= COMMANDS_AT_A_TIME:
            await self._write()
        return True

    @cached_property
    def _too_much(self) -> Refused:
        """One for a whole round, and rarely any: it costs as much as a command."""
        return Refused(
            errors_pb2.ERROR_REASON_FRAME_LEADS_TO_TOO_MUCH,
            retry_after_seconds=self._limits.retry_after_seconds,
            bytes_max=self._bytes_max,
        )

    async def _write(self) -> None:
        for _ in self._builder.write_in_steps():
            if self._breath.is_due:
                await self._breath.take()

    async def _read(self, commands: Sequence[Command | Refused]) -> list[AnyTyped | Refused]:
        read = []
        for command in commands:
            if self._breath.is_due:
                await self._breath.take()
            read.append(self._builder.read(command))
        return read

    async def _decide_in_steps(self, typed: Stepped, caller: str) -> Outcome:
        steps = self._builder.decide_in_steps(typed, caller)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: Outcome = end.value
                if isinstance(typed, TypedBatch):
                    # Its entry alone may have megabytes, which are to count at once.
                    await self._write()
                return outcome
            if self._breath.is_due:
                await self._breath.take()

    async def _run_again(self, frame: Frame) -> Outcome | MustWait:
        """Runs the one command of a frame that has waited."""
        typed = self._builder.read(frame.commands[0])
        if isinstance(typed, Refused):
            return typed
        try:
            return self._builder.decide(typed, frame.caller, may_wait=frame.may_wait)
        except EntryNeeded as needed:
            return await self._decide_with(needed.position, typed, frame)

    async def _decide_with(
        self, position: int, typed: AnyTyped, frame: Frame
    ) -> Outcome | MustWait:
        """Decides a command that needs the entry at a position."""
        try:
            entries = await self._load_round(position)
        except Refused as damaged:
            return damaged
        # Only the newest: who sends a lot again mostly finds the next in the same round, and all of
        # them together may be as large as the log.
        self._loaded.clear()
        self._loaded.update(entries)
        return self._builder.decide(typed, frame.caller, may_wait=frame.may_wait)

    def _put_in_line(self, frame: Frame, wait: MustWait) -> Refused | None:
        """Lets a frame wait. Returns the refusal if too many wait already."""
        end_uptime_us = self._builder.uptime_us + round(wait.seconds * MICROSECONDS)
        try:
            self._lines.join(Waiter(frame, wait.line, end_uptime_us))
        except Refused as refusal:
            return refusal
        return None

    async def _serve_lines(self) -> None:
        """Runs the commands that waited for what has become free."""
        while self._builder.freed:
            await self._serve(self._builder.freed.pop(0))

    async def _serve(self, line: str) -> None:
        """Runs the commands of a line until one has to go on waiting."""
        while sharing := self._lines.first(line):
            for waiter in sharing:
                if waiter.frame.outcomes.done():
                    self._lines.leave(waiter)
                    continue
                outcome = await self._run_again(waiter.frame)
                if isinstance(outcome, MustWait):
                    return
                self._lines.leave(waiter)
                self.decided.append(Decided(waiter.frame, [outcome]))
