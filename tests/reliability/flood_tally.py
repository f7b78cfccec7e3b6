"""What became of the commands of a flood, as far as its clients were told."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import grpc.aio

from gapless.v1.commands_pb2 import PipelineResponse
from tests.rpc.wire import DETAILS_KEY, Seen, seen, status_pb2

# What gRPC's client says, and nothing else, if a stream is refused while it writes to it.
_HIDDEN: Final = "Internal error from Core"


@dataclass
class Tally:
    """What a flood was told."""

    # By frame: for each of its commands 1 if it was acknowledged and 0 if it was refused.
    answered: dict[str, bytes] = field(default_factory=dict)
    # By frame: how many commands of it were sent whose answer was not waited for any longer.
    given_up: dict[str, int] = field(default_factory=dict)
    # By code, reason, and whether the refusal says when to come again.
    refusals: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    # Refusals that gRPC's client hid.
    hidden: int = 0
    # Commands that were due by a schedule, and those of them that could not even be sent.
    due: int = 0
    pushed_back: int = 0
    # Commands acknowledged in each second, by the second of the machine's clock.
    seconds: Counter[int] = field(default_factory=Counter)

    @property
    def acknowledged(self) -> int:
        """How many commands were."""
        return sum(map(sum, self.answered.values()))

    @property
    def sent(self) -> int:
        """How many commands were."""
        return sum(map(len, self.answered.values())) + sum(self.given_up.values())

    def note(self, frame: str, answered: bytes) -> None:
        """Takes what became of the commands of a frame."""
        self.answered[frame] = answered
        self.seconds[int(time.monotonic())] += sum(answered)

    def note_answer(self, frame: str, data: bytes, commands: int) -> float:
        """Takes the answer of a frame of so many commands, as it came.

        Returns after how many seconds to come again; 0 if nothing was refused.
        """
        size_bytes, rest = divmod(len(data), commands)
        one = data[:size_bytes]
        if not rest and data == commands * one and (same := _refusal(one)):
            # Refused whole, which must cost a client next to nothing.
            self.note(frame, _refused_whole(commands))
            return self._refuse(same, commands)
        results = PipelineResponse.FromString(data).results
        refused = Counter(result.error.status for result in results if result.HasField("error"))
        self.note(frame, bytes(not result.HasField("error") for result in results))
        return max(
            (self._refuse(_seen(status), number) for status, number in refused.items()), default=0
        )

    def refuse_call(self, error: grpc.aio.AioRpcError) -> None:
        """Takes why a call was refused."""
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        if isinstance(details, bytes):
            self._refuse(_seen(details))
        elif _HIDDEN in str(error.details()):
            self.hidden += 1
        else:
            self.refusals[error.code().name, "", False] += 1

    def _refuse(self, refusal: Seen, number: int = 1) -> float:
        key = (refusal.code.name, refusal.reason, refusal.retry_seconds is not None)
        self.refusals[key] += number
        return refusal.retry_seconds or 0


@lru_cache(maxsize=100)
def _seen(status: bytes) -> Seen:
    return seen(status_pb2.Status.FromString(status))


@lru_cache(maxsize=100)
def _refusal(result: bytes) -> Seen | None:
    """Returns why a command was refused, or None if it was not."""
    [found] = PipelineResponse.FromString(result).results
    return _seen(found.error.status) if found.HasField("error") else None


@lru_cache(maxsize=100)
def _refused_whole(commands: int) -> bytes:
    return bytes(commands)
