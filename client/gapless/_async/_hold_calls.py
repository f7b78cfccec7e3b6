"""What holding a lock asks of the service; also to give back what nobody is left to hold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gapless._async._transport import Answer, sleep
from gapless.errors import GaplessError
from gapless.v1.events_pb2 import GetRequestResponse
from gapless.v1.locks_pb2 import AcquireLockResponse, ReleaseLockResponse, RenewLockResponse

# For how long to go on trying to give a lock back that ends by itself, but later.
GIVE_BACK_SECONDS_MAX: Final = 60.0
# What the service does not know after it has answered for so long, it was never sent.
UNKNOWN_SECONDS_MAX: Final = 5.0

_ASK_SECONDS_FIRST: Final = 0.05
_ASK_SECONDS_MAX: Final = 0.5


@dataclass(frozen=True)
class HoldCalls:
    """The calls about one lock; all but the first take how many seconds there are for them."""

    acquire: Callable[[str], Answer[AcquireLockResponse]]
    """Takes the request id."""
    renew: Callable[[int, float], Answer[RenewLockResponse]]
    """Takes the fencing token."""
    release: Callable[[int, float], Answer[ReleaseLockResponse]]
    """Takes the fencing token."""
    get_request: Callable[[str, float], Answer[GetRequestResponse]]
    """Takes the request id."""
    ttl_seconds: int
    """For how long the lock lives without a renewal."""
    timeout_seconds: float
    """What a block waits for at most when it begins, beside the time to acquire, and at its end."""

    async def give_back(self, request_id: str) -> None:
        """Releases what was acquired with this request id, also if that is still on its way.

        Best effort, within a minute: what is not released ends by its time to live.
        """
        give_up_time = time.monotonic() + min(self.ttl_seconds, GIVE_BACK_SECONDS_MAX)
        with contextlib.suppress(GaplessError):
            token = await self._token(request_id, give_up_time)
            if token is not None:
                await self.release(token, _seconds_until(give_up_time))

    async def release_late(self, fencing_token: int) -> None:
        """Releases what could not be released in time, or was lost. Best effort, as above."""
        with contextlib.suppress(GaplessError):
            await self.release(fencing_token, min(self.ttl_seconds, GIVE_BACK_SECONDS_MAX))

    async def _token(self, request_id: str, give_up_time: float) -> int | None:
        """The fencing token that it was acquired with; None if it was not, and will not be.

        Asked again for a while, since the command may reach the service after the question.
        """
        wait = _ASK_SECONDS_FIRST
        while True:
            asked = await self.get_request(request_id, _seconds_until(give_up_time))
            if asked.found:
                return asked.result.acquire_lock.lock.fencing_token
            now = time.monotonic()
            if wait == _ASK_SECONDS_FIRST:
                give_up_time = min(give_up_time, now + UNKNOWN_SECONDS_MAX)
            if now + wait >= give_up_time:
                return None
            await sleep(wait)
            wait = min(wait * 2, _ASK_SECONDS_MAX)


def _seconds_until(give_up_time: float) -> float:
    """At least a moment, which a call needs."""
    return max(give_up_time - time.monotonic(), _ASK_SECONDS_FIRST)
