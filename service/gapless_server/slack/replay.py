"""Replays the commands of some channels: each channel's in order, different channels at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gapless import AsyncClient, GaplessError, RetryAdvice
from gapless.errors import UnavailableError
from gapless.v1.messages_pb2 import PostMessageResponse
from gapless.v1.threads_pb2 import PostReplyResponse
from gapless_server.slack.plan import Request
from gapless_server.slack.send import Answer, send

# How many channels of one process are replayed at a time.
CHANNELS_AT_ONCE_MAX: Final = 256
# How long a command is sent again while the service is away.
SECONDS_MAX: Final = 60.0
_PAUSE_SECONDS_FIRST: Final = 0.02
_PAUSE_SECONDS_MAX: Final = 0.5


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
    """Commands, each counted once."""
    retried: int = 0
    """Those of them that were sent more than once."""
    replayed: int = 0
    """Those of them whose answer was remembered from before."""
    refused: list[str] = field(default_factory=list)
    """Those that were refused, a sentence each."""
    acknowledged: list[Acknowledged] = field(default_factory=list)
    latencies_seconds: list[float] = field(default_factory=list)
    """From the first attempt to the answer, for every command that got one."""


async def replay(
    target: str,
    namespace: str,
    channels: Mapping[str, Sequence[Request]],
    on_done: Callable[[int], None],
) -> Tally:
    """Sends the commands and returns what came of them; `on_done` hears how many are done.

    Raises GaplessError if the service is away for longer than `SECONDS_MAX`.
    """
    tally = Tally()
    at_once = asyncio.Semaphore(CHANNELS_AT_ONCE_MAX)
    # Attempts are made here, one by one, because they are to be counted.
    async with AsyncClient(
        target, namespace=namespace, caller="slack-import", timeout=SECONDS_MAX, max_attempts=1
    ) as client:

        async def replay_channel(commands: Sequence[Request]) -> None:
            async with at_once:
                for command in commands:
                    await _run(client, command, tally)
                    on_done(tally.sent)

        async with asyncio.TaskGroup() as tasks:
            for commands in channels.values():
                tasks.create_task(replay_channel(commands))
    return tally


async def _run(client: AsyncClient, command: Request, tally: Tally) -> None:
    began = time.monotonic()
    pause_seconds = _PAUSE_SECONDS_FIRST
    attempts = 0
    while True:
        attempts += 1
        try:
            answer = await send(client, command)
        except GaplessError as error:
            if not _may_help_to_send_again(error):
                tally.refused.append(f"{command.request_id}: {error}")
                break
            if time.monotonic() - began > SECONDS_MAX:
                raise
            await asyncio.sleep(max(pause_seconds, error.retry_delay_seconds or 0))
            pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)
        else:
            tally.latencies_seconds.append(time.monotonic() - began)
            _note(answer, command, tally)
            break
    tally.sent += 1
    tally.retried += attempts > 1


def _may_help_to_send_again(error: GaplessError) -> bool:
    return error.outcome_unknown or (
        error.retry_advice is RetryAdvice.AFTER_DELAY or isinstance(error, UnavailableError)
    )


def _note(answer: Answer, command: Request, tally: Tally) -> None:
    tally.replayed += answer.receipt.replayed
    if isinstance(answer, PostMessageResponse):
        tally.acknowledged.append(
            Acknowledged(command.channel_id, answer.message_id, answer.sequence, 0)
        )
    elif isinstance(answer, PostReplyResponse):
        tally.acknowledged.append(
            Acknowledged(
                command.channel_id, answer.message_id, answer.sequence, answer.thread_sequence
            )
        )
