"""Replays the commands of some channels: each channel's in order, different channels at once.

A channel's commands are sent some at a time, without waiting for each answer: the client's
stream and the service keep their order. Those that got no answer are sent again, in their order
and with their request ids, before anything after them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gapless import AsyncClient, GaplessError, RetryAdvice
from gapless.errors import LogCorrupt, UnavailableError
from gapless.v1.messages_pb2 import PostMessageResponse
from gapless.v1.threads_pb2 import PostReplyResponse
from gapless_server.slack.plan import Request
from gapless_server.slack.send import Answer, send

# How many channels of one process are replayed at a time, and how many commands of each.
CHANNELS_AT_ONCE_MAX: Final = 256
COMMANDS_AT_ONCE_MAX: Final = 16
# How long a command is sent again while the service is away.
SECONDS_MAX: Final = 60.0
_PAUSE_SECONDS_FIRST: Final = 0.02
_PAUSE_SECONDS_MAX: Final = 0.2


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A message as the service acknowledged it. What was acknowledged must be there for ever."""

    channel: str
    message_id: str
    sequence: int
    """Its channel sequence; 0 for a reply that is not shown in the channel."""
    thread_sequence: int
    """Its thread sequence; 0 for a message that is no reply."""


@dataclass(slots=True)
class Tally:
    """What came of the commands of one process."""

    sent: int = 0
    """Commands that are done, each counted once."""
    retried: int = 0
    """Those of them that were sent more than once."""
    replayed: int = 0
    """Those of them whose answer was remembered from before."""
    refused: list[str] = field(default_factory=list)
    """Those that were refused, a sentence each."""
    acknowledged: list[Acknowledged] = field(default_factory=list)
    latencies_seconds: list[float] = field(default_factory=list)
    """From the first attempt to the answer, for every command that got one."""
    began: float = math.inf
    """When the first command was sent, on the clock that all processes of a machine share."""
    ended: float = -math.inf
    """When the last answer came."""

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return max(self.ended - self.began, 0.0)


async def replay(
    client: AsyncClient,
    channels: Mapping[str, Sequence[Request]],
    on_done: Callable[[int], None],
) -> Tally:
    """Sends the commands and returns what came of them; `on_done` hears how many are done.

    `client` must not send again by itself (max_attempts=1): attempts are counted here. Raises
    GaplessError, in an exception group, if the service is away for longer than `SECONDS_MAX`, or
    LogCorrupt in one.
    """
    replayed = _Replay(client, on_done)
    async with asyncio.TaskGroup() as tasks:
        for commands in channels.values():
            tasks.create_task(replayed.channel(commands))
    replayed.tally.ended = time.monotonic()
    return replayed.tally


class _Replay:
    def __init__(self, client: AsyncClient, on_done: Callable[[int], None]) -> None:
        self._client = client
        self._on_done = on_done
        self._at_once = asyncio.Semaphore(CHANNELS_AT_ONCE_MAX)
        self.tally = Tally(began=time.monotonic())

    async def channel(self, commands: Sequence[Request]) -> None:
        async with self._at_once:
            for first in range(0, len(commands), COMMANDS_AT_ONCE_MAX):
                await self._run(commands[first : first + COMMANDS_AT_ONCE_MAX])

    async def _run(self, commands: Sequence[Request]) -> None:
        """Sends commands until each is answered or refused."""
        began = time.monotonic()
        pause_seconds = _PAUSE_SECONDS_FIRST
        attempts = 0
        while commands:
            attempts += 1
            unanswered = await self._attempt(commands, began, is_first=attempts == 1)
            if unanswered and time.monotonic() - began > SECONDS_MAX:
                raise unanswered[0][1]
            if unanswered:
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)
            commands = [command for command, _error in unanswered]

    async def _attempt(
        self, commands: Sequence[Request], began: float, *, is_first: bool
    ) -> list[tuple[Request, GaplessError]]:
        """Sends commands once, in order; returns those that are to be sent again, and why."""
        unanswered = []
        tally = self.tally
        outcomes = await asyncio.gather(*(self._send(command) for command in commands))
        for command, outcome in zip(commands, outcomes, strict=True):
            if not isinstance(outcome, GaplessError):
                tally.latencies_seconds.append(outcome[1] - began)
                self._note(outcome[0], command)
            elif isinstance(outcome, LogCorrupt):
                raise outcome  # nothing will be applied, and what was may be lost
            elif _may_help_to_send_again(outcome):
                unanswered.append((command, outcome))
                tally.retried += is_first
                continue
            else:
                tally.refused.append(f"{command.request_id}: {outcome}")
            tally.sent += 1
        self._on_done(tally.sent)
        return unanswered

    async def _send(self, command: Request) -> tuple[Answer, float] | GaplessError:
        try:
            return await send(self._client, command), time.monotonic()
        except GaplessError as error:
            return error

    def _note(self, answer: Answer, command: Request) -> None:
        self.tally.replayed += answer.receipt.replayed
        if isinstance(answer, (PostMessageResponse, PostReplyResponse)):
            thread_sequence = answer.thread_sequence if isinstance(answer, PostReplyResponse) else 0
            self.tally.acknowledged.append(
                Acknowledged(
                    command.channel_id, answer.message_id, answer.sequence, thread_sequence
                )
            )


def _may_help_to_send_again(error: GaplessError) -> bool:
    return (
        error.outcome_unknown
        or error.retry_advice is RetryAdvice.AFTER_DELAY
        or isinstance(error, UnavailableError)
    )
