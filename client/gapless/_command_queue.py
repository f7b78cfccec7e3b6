"""The commands of one pipelined stream: which wait, which are under way, which are answered.

Knows nothing of connections, tasks or threads; a pipeline of either colour drives it, and holds a
lock around it where there are threads.

Invariants:
1. Commands leave in the order in which they came, and come back in front, in order, when their
   stream breaks.
2. Answers belong to the oldest frame under way, one to each of its commands, in order.
3. At most ``FRAMES_IN_FLIGHT_MAX`` frames are under way, each within both limits of a frame.
4. A command is in exactly one place, waiting or in one frame, until it is answered or failed. One
   whose time is over keeps its place in a frame under way, so that (2) holds.
5. A frame that is too large for the service, or whose answer is too large for this client, fails no
   command but one that is too large by itself: frames become smaller.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any, Final, NamedTuple

from gapless._commands import PendingCommand
from gapless._retry import (
    break_leaves_outcome_open,
    frame_did_not_pass,
    hides_the_status,
    is_retryable,
)
from gapless.errors import GaplessError, InternalError
from gapless.v1 import commands_pb2

# While the service commits one frame, the next is on its way; more would only wait there.
FRAMES_IN_FLIGHT_MAX: Final = 2
# The service takes 10,000 by default; smaller frames are answered sooner and are as fast.
FRAME_COMMANDS_MAX: Final = 2_000
# From so many on, two frames of half of them: while the service is at one, answers of the other are
# handed out and the next is gathered. For so many, that is worth a second sync on any disk.
HALVED_COMMANDS_MIN: Final = 512
# From so many on, if the pipeline finds that halves pay. What two frames cost both ends beside the
# sync is more than fewer commands gain.
PAYING_COMMANDS_MIN: Final = 96
# gRPC services take messages up to 4 MiB unless told otherwise.
FRAME_BYTES_MAX: Final = 2 * 1024 * 1024
# An answer may be lost on a stream that stays open. It is given up once all who wait for that
# answer have gone, and not before they have for so long: short timeouts do not open streams anew
# where the service is slow for a moment.
UNWANTED_SECONDS_MAX: Final = 2.0


class _Frame(NamedTuple):
    """Commands that were sent together, and the bytes that they were."""

    commands: list[PendingCommand]
    size: int


class Refusal(NamedTuple):
    """A command that got an error for an answer, and its caller has not been told yet."""

    command: PendingCommand
    error: GaplessError


class CommandQueue:
    """See the head of this file."""

    def __init__(self, address: str, *, commands_max: int, bytes_max: int) -> None:
        """A queue for commands that go to `address`.

        `commands_max` and `bytes_max` bound what has no answer yet, waiting or under way.
        """
        self._address = address
        self._commands_max = commands_max
        self._bytes_max = bytes_max
        # Whether it holds as much as it may. Kept, as it is asked for every command.
        self.is_full = False
        self._waiting: list[PendingCommand] = []
        self._waiting_bytes = 0
        self._in_flight: deque[_Frame] = deque()
        # What a frame may hold, and how many may be under way; less once one did not pass.
        self._frame_commands_max = FRAME_COMMANDS_MAX
        self._frame_bytes_max = FRAME_BYTES_MAX
        self._frames_in_flight_max = FRAMES_IN_FLIGHT_MAX
        # Whether why the last stream broke is not known, and shall be learned from the next.
        self.listens_first = False
        # Whether halves paid when the last frame left.
        self._halves_paid = False
        self._in_flight_commands = 0
        self._in_flight_bytes = 0
        # Since when nobody has been seen to wait for the answer of the oldest frame.
        self._unwanted_since: float | None = None
        # What may wait beside what is under way.
        self._waiting_max = commands_max
        self._waiting_bytes_max = bytes_max

    def is_empty(self) -> bool:
        """Whether every command is answered or failed."""
        return not self._waiting and not self._in_flight

    def is_under_way(self) -> bool:
        """Whether a frame was sent that is not answered."""
        return bool(self._in_flight)

    def has_room(self, *, beside: int = 0) -> bool:
        """Whether another command may be added, beside so many that will be in any case."""
        return (
            len(self._waiting) + self._in_flight_commands + beside < self._commands_max
            and self._waiting_bytes + self._in_flight_bytes < self._bytes_max
        )

    def add(self, command: PendingCommand) -> bool:
        """Puts a command, with its waiter set, at the end; whether it is the only one to wait."""
        waiting = self._waiting
        waiting.append(command)
        size = self._waiting_bytes = self._waiting_bytes + len(command.data)
        count = len(waiting)
        if count >= self._waiting_max or size >= self._waiting_bytes_max:
            self.is_full = True
        return count == 1

    def _note_room(self) -> None:
        """Runs when something else than `add` has changed what waits or is under way."""
        self._waiting_max = self._commands_max - self._in_flight_commands
        self._waiting_bytes_max = self._bytes_max - self._in_flight_bytes
        self.is_full = not self.has_room()

    def next_frame(self, *, halves_pay: bool = False) -> bytes | None:
        """What to send now, or None if there is nothing or enough is under way.

        `halves_pay`: whether many commands are better off in two frames of half of them.
        """
        unanswered = len(self._waiting) + self._in_flight_commands
        is_halved = unanswered >= (PAYING_COMMANDS_MIN if halves_pay else HALVED_COMMANDS_MIN)
        # When halves do not pay any more, they would still stay halves, each leaving as soon as it
        # has gathered; once the one waits for the other, they are whole again.
        becomes_whole = self._halves_paid and not (halves_pay or is_halved)
        in_flight_max = 1 if becomes_whole else self._frames_in_flight_max
        if not self._waiting or len(self._in_flight) >= in_flight_max:
            return None
        self._halves_paid = halves_pay
        frame = self._cut((unanswered + 1) // 2 if is_halved else unanswered)
        self._waiting_bytes -= frame.size
        self._in_flight.append(frame)
        self._in_flight_commands += len(frame.commands)
        self._in_flight_bytes += frame.size
        self._note_room()
        return b"".join([command.data for command in frame.commands])

    def _cut(self, commands_max: int) -> _Frame:
        """Takes as much from the front as one frame is to hold, at least one command."""
        waiting = self._waiting
        commands_max = min(commands_max, self._frame_commands_max)
        if len(waiting) <= commands_max and self._waiting_bytes <= self._frame_bytes_max:
            self._waiting = []
            return _Frame(waiting, self._waiting_bytes)
        count = 0
        size = 0
        for command in itertools.islice(waiting, commands_max):
            if count and size + len(command.data) > self._frame_bytes_max:
                break
            count += 1
            size += len(command.data)
        self._waiting = waiting[count:]
        return _Frame(waiting[:count], size)

    def answer(self, response: commands_pb2.PipelineResponse) -> list[Refusal]:
        """Gives the oldest frame under way its answers, and returns those that are refusals.

        Those are for the pipeline: it sends their commands again, or fails them.

        Raises:
            InternalError: the response does not fit the frame; the stream is of no more use.
        """
        results = response.results
        expected = len(self._in_flight[0].commands) if self._in_flight else 0
        if len(results) != expected or not expected:
            raise InternalError(
                f"the service at {self._address} answered {len(results)} commands where {expected}"
                " were asked; the service and this SDK do not fit together"
            )
        frame = self._in_flight.popleft()
        self._unwanted_since = None
        self._frames_in_flight_max = FRAMES_IN_FLIGHT_MAX
        self.listens_first = False
        self._in_flight_commands -= expected
        self._in_flight_bytes -= frame.size
        self._note_room()
        refusals = []
        for command, result in zip(frame.commands, results, strict=True):
            waiter = command.waiter
            if waiter.done():
                continue
            field: Any = command.field  # the stubs know the names of fields only as literals
            # Cheaper than asking which result it is.
            if result.HasField(field):
                waiter.set_result(getattr(result, field))
            else:
                refusals.append(Refusal(command, command.refusal(result)))
        return refusals

    def stream_broke(self, error: GaplessError, now: float) -> None:
        """Takes back what was under way, to be sent again; fails what is not to be sent again.

        What waits has nothing to do with it, and goes on the next stream; but a break with nothing
        under way means that the service was not reached, or that it refused the stream: then it
        counts as an attempt of every waiting command, or fails them. A break because the queue was
        stuck is no attempt of those who still wait; nor is one that hides its status, once.
        """
        attempted = self._under_way()
        outcome_open = break_leaves_outcome_open(error)
        for command in attempted:
            command.outcome_open = command.outcome_open or outcome_open
        waiting = self._waiting
        commands = attempted or waiting
        unconcerned = waiting if attempted else []
        retryable = is_retryable(error)
        if attempted and frame_did_not_pass(error):
            # No attempt of anything but a command that was alone.
            retryable = True
            if len(attempted) == 1:
                attempted[0].fail(error)
                commands = []
            else:
                self._make_frames_smaller(error)
        else:
            is_hidden = hides_the_status(error)
            attempts = 0 if self.is_stuck(now) or (is_hidden and not self.listens_first) else 1
            self.listens_first = is_hidden
            if is_hidden:
                # No second frame is written then while the first may end the stream.
                self._frames_in_flight_max = 1
            for command in commands:
                command.attempts += attempts
                command.last_error = error
        self._clear()
        for command in commands:
            attempts_max = command.attempts_max
            spent = attempts_max is not None and command.attempts >= attempts_max
            if retryable and not spent and command.deadline > now:
                self.add(command)
            else:
                command.fail(error)
        for command in unconcerned:
            self.add(command)

    def _make_frames_smaller(self, error: GaplessError) -> None:
        """Lets frames hold less than those under way, one of which did not pass.

        The next one is to be under way alone: if it does not pass, it is known which that was.
        """
        told = error.metadata.get("commands_max", "")
        if told.isdecimal():
            self._frame_commands_max = max(int(told), 1)
        else:
            self._frame_bytes_max = max(frame.size for frame in self._in_flight) // 2
        self._frames_in_flight_max = 1

    def fail_all(self, error: GaplessError) -> None:
        """Fails every command; what was under way may have been applied."""
        for command in self._under_way():
            command.outcome_open = True
            command.fail(error)
        for command in self._waiting:
            command.fail(error)
        self._clear()

    def _under_way(self) -> list[PendingCommand]:
        return [command for frame in self._in_flight for command in frame.commands]

    def _clear(self) -> None:
        self._waiting = []
        self._waiting_bytes = 0
        self._in_flight.clear()
        self._unwanted_since = None
        self._in_flight_commands = 0
        self._in_flight_bytes = 0
        self._note_room()

    def expire(self, now: float) -> float | None:
        """Fails the commands whose time is over; returns when to look again, or None if never.

        Whether it is stuck is found out here too; one that is has to be looked at no more.
        """
        under_way = self._under_way()
        for command in under_way:
            if command.deadline <= now:
                command.expire(self._address, in_flight=True)
        overdue = [command for command in self._waiting if command.deadline <= now]
        if overdue:
            self._waiting = [command for command in self._waiting if command.deadline > now]
            self._waiting_bytes -= sum(len(command.data) for command in overdue)
            self._note_room()
            for command in overdue:
                command.expire(self._address, in_flight=False)
        times = [command.deadline for command in itertools.chain(under_way, self._waiting)]
        if self._in_flight and all(one.waiter.done() for one in self._in_flight[0].commands):
            if self._unwanted_since is None:
                self._unwanted_since = now
            times.append(self._unwanted_since + UNWANTED_SECONDS_MAX)
        return min((time for time in times if time > now), default=None)

    def is_stuck(self, now: float) -> bool:
        """Whether its stream is to be given up, as nobody waits for what is to come next."""
        since = self._unwanted_since
        return since is not None and now >= since + UNWANTED_SECONDS_MAX
