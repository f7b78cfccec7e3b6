"""Callers of the SDK who go on whatever happens, and note what each of their calls led to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from gapless import AsyncClient

CHANNEL: Final = "general"
ACCOUNTS: Final = ("ada", "bob")
POOL: Final = "numbers"
EMOJI: Final = "thumbsup"

# A patient caller's call only ends with its answer: nothing the proxies do lasts so long.
PATIENT_SECONDS: Final = 60.0
IMPATIENT_SECONDS_MAX: Final = 0.3
# Shares of the calls, beside the patient ones.
IMPATIENT_SHARE: Final = 0.1
ONE_ATTEMPT_SHARE: Final = 0.1
GIVEN_UP_SHARE: Final = 0.05
READ_SHARE: Final = 0.2


@dataclass
class Sent:
    """A command, and what its caller was told. Neither answer nor error: its caller gave up."""

    request_id: str
    is_patient: bool
    answer: Any = None
    error: BaseException | None = None


@dataclass
class Read:
    """What a read led to."""

    is_patient: bool
    error: BaseException | None = None


async def prepare(client: AsyncClient) -> str:
    """Makes what the callers work on; returns the id of a message."""
    await client.channels.create(CHANNEL)
    await client.pools.create(POOL, [range(1, 1_000_000)])
    for account_id in ACCOUNTS:
        await client.ledgers.create_account(account_id, "cent")
    return (await client.messages.post(CHANNEL, "first", "hello")).message_id


class Caller:
    """One caller with a client of its own; one call after another."""

    def __init__(
        self, name: str, client: AsyncClient, message_id: str, chance: random.Random
    ) -> None:
        self.sent: list[Sent] = []
        self.reads: list[Read] = []
        self.kinds: Counter[str] = Counter()
        self._name = name
        self._client = client
        self._message_id = message_id
        self._chance = chance

    async def call(self, count: int) -> None:
        """Calls so often."""
        for _ in range(count):
            is_patient, client, gives_up = self._mood()
            if self._chance.random() < READ_SHARE:
                await self._read(client, is_patient=is_patient)
            else:
                await self._command(client, is_patient=is_patient, gives_up=gives_up)

    def _mood(self) -> tuple[bool, AsyncClient, bool]:
        """Whether this call is patient, the view to call with, and whether it is given up."""
        luck = self._chance.random()
        with_options = self._client.with_options
        if luck < IMPATIENT_SHARE:
            seconds = self._chance.uniform(0.001, IMPATIENT_SECONDS_MAX)
            return False, with_options(timeout=seconds), False
        if luck < IMPATIENT_SHARE + ONE_ATTEMPT_SHARE:
            return False, with_options(max_attempts=1, timeout=PATIENT_SECONDS), False
        gives_up = luck < IMPATIENT_SHARE + ONE_ATTEMPT_SHARE + GIVEN_UP_SHARE
        return not gives_up, with_options(timeout=PATIENT_SECONDS), gives_up

    async def _command(self, client: AsyncClient, *, is_patient: bool, gives_up: bool) -> None:
        sent = Sent(f"{self._name}-{len(self.sent) + 1}", is_patient)
        self.sent.append(sent)
        kind = self._chance.choice(_COMMANDS)
        self.kinds[kind.__name__.removeprefix("_")] += 1
        work = asyncio.ensure_future(kind(self, client, sent.request_id))
        try:
            if gives_up:
                await asyncio.wait([work], timeout=self._chance.uniform(0, IMPATIENT_SECONDS_MAX))
                work.cancel()
            sent.answer = await work
        except asyncio.CancelledError:
            if not gives_up:
                raise
        except Exception as error:
            sent.error = error

    async def _read(self, client: AsyncClient, *, is_patient: bool) -> None:
        self.kinds["read"] += 1
        read = Read(is_patient)
        self.reads.append(read)
        reads: list[Callable[[], Awaitable[Any]]] = [
            lambda: client.channels.get(CHANNEL),
            lambda: client.messages.get(CHANNEL, self._message_id),
            lambda: client.reactions.counts(CHANNEL, self._message_id),
            lambda: client.pools.get(POOL),
        ]
        try:
            await self._chance.choice(reads)()
        except Exception as error:
            read.error = error

    async def _post(self, client: AsyncClient, request_id: str) -> Any:
        return await client.messages.post(CHANNEL, self._name, "text", request_id=request_id)

    async def _reply(self, client: AsyncClient, request_id: str) -> Any:
        return await client.threads.reply(
            CHANNEL, self._message_id, self._name, "text", request_id=request_id
        )

    async def _toggle(self, client: AsyncClient, request_id: str) -> Any:
        return await client.reactions.toggle(
            CHANNEL, self._message_id, self._name, EMOJI, request_id=request_id
        )

    async def _reserve(self, client: AsyncClient, request_id: str) -> Any:
        return await client.reservations.reserve(
            POOL, self._name, request_id, request_id=request_id
        )

    async def _transfer(self, client: AsyncClient, request_id: str) -> Any:
        legs = {ACCOUNTS[0]: -1, ACCOUNTS[1]: 1}
        return await client.ledgers.transfer(legs, request_id=request_id)

    async def _set(self, client: AsyncClient, request_id: str) -> Any:
        return await client.config.set(f"key/{self._name}", request_id, request_id=request_id)

    async def _lock(self, client: AsyncClient, request_id: str) -> Any:
        """By a call of its own, as it may wait; each lock is another, so it is free."""
        return await client.locks.acquire(request_id, self._name, wait=1, request_id=request_id)

    async def _batch(self, client: AsyncClient, request_id: str) -> Any:
        async with client.batch(request_id=request_id) as batch:
            await batch.messages.post(CHANNEL, self._name, "text")
            await batch.ledgers.transfer({ACCOUNTS[0]: -1, ACCOUNTS[1]: 1})
        return batch


_COMMANDS: Final = (
    Caller._post, Caller._post, Caller._reply, Caller._toggle, Caller._reserve,
    Caller._transfer, Caller._set, Caller._lock, Caller._lock, Caller._batch,
)  # fmt: skip
