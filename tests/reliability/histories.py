"""Client processes that note, for each operation, when it began and ended and what it was told."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import random
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from gapless import AsyncClient, GaplessError
from gapless.errors import ConfigNotFound
from tests.reliability.sequential_model import CHANNELS, KEYS, LOCKS, POOL, POOL_SIZE, Thing
from tests.scenarios.processes import Place

# So many operations of a process are under way at a time.
TASKS: Final = 8
TIMEOUT_SECONDS: Final = 60.0
# This share of the commands is given so little time that many have no answer.
IMPATIENT_SHARE: Final = 0.03
IMPATIENT_SECONDS: Final = 0.01
# A hang must end the test.
SECONDS_MAX: Final = 300.0

# Refusals that say what a thing is like; any other is a failure.
TELLING: Final = ("CONFIG_VERSION_MISMATCH", "LOCK_HELD", "POOL_EXHAUSTED")
# Without a reason, from gRPC itself: the time was over, or the connection broke.
BREAKS: Final = ("DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED", "INTERNAL")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["gapless", "tests.reliability.histories"])


@dataclass(slots=True)
class Operation:
    """One call: times are those of a clock that all processes of the machine share."""

    kind: str
    arguments: tuple[Any, ...]
    request_id: str
    invoked: float
    returned: float = math.inf
    answer: Any = None
    # Where the answer says that it was committed; 0 for reads and without an answer.
    position: int = 0
    # What was seen of a thing: by a read, or by a refusal that tells.
    thing: Thing | None = None
    refusal: str = ""
    # It ended without an answer, and with the word that nothing was done.
    is_called_failed: bool = False


class ClientProcesses:
    """A client process for each place, which do so many operations together."""

    def __init__(self, places: Sequence[Place], seed: str, count: int) -> None:
        self._running = []
        for index, place in enumerate(places):
            home, away = _context.Pipe(duplex=False)
            process = _context.Process(
                target=_run, args=(away, place, index, seed, count // len(places))
            )
            process.start()
            away.close()
            self._running.append((process, home))

    def history(self) -> list[Operation]:
        """Waits for all, ends them, and returns what they did. Raises RuntimeError."""
        operations: list[Operation] = []
        try:
            for _process, home in self._running:
                if not home.poll(SECONDS_MAX):
                    raise RuntimeError(f"no word of a client process for {SECONDS_MAX} seconds")
                said = home.recv()
                if isinstance(said, str):
                    raise RuntimeError(said)
                operations += said
        finally:
            self.end()
        return operations

    def end(self) -> None:
        for process, home in self._running:
            home.close()
            process.kill()
            process.join()
        self._running.clear()


def _run(away: Connection, place: Place, index: int, seed: str, count: int) -> None:
    """Runs in the process."""
    try:
        away.send(asyncio.run(_Worker(place, index, seed, count).run()))
    except BaseException:
        away.send(traceback.format_exc())


class _Worker:
    """One process at work."""

    def __init__(self, place: Place, index: int, seed: str, count: int) -> None:
        self._place = place
        self._name = f"p{index}"
        self._chance = random.Random(f"{seed} {index}")
        self._left = count
        self._history: list[Operation] = []
        self._tokens: dict[str, int] = {}
        self._versions: dict[str, int] = {}

    async def run(self) -> list[Operation]:
        async with AsyncClient(
            self._place.address, namespace=self._place.namespace, timeout=TIMEOUT_SECONDS
        ) as client:
            hasty = client.with_options(timeout=IMPATIENT_SECONDS)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(TASKS):
                    tasks.create_task(self._work(client, hasty))
        return self._history

    async def _work(self, client: AsyncClient, hasty: AsyncClient) -> None:
        while self._left > 0:
            self._left -= 1
            view = hasty if self._chance.random() < IMPATIENT_SHARE else client
            kind, arguments = self._choose()
            operation = Operation(
                kind, arguments, f"{self._name}-{len(self._history)}", time.monotonic()
            )
            self._history.append(operation)
            try:
                await getattr(self, f"_{kind}")(view, operation, *arguments)
                operation.returned = time.monotonic()
            except GaplessError as error:
                self._note(operation, error)

    def _note(self, operation: Operation, error: GaplessError) -> None:
        if error.reason in TELLING:
            operation.returned = time.monotonic()
            operation.refusal = error.reason
            operation.thing, operation.answer = _told(error, operation)
        elif error.reason or error.code.name not in BREAKS:
            raise error
        elif not error.outcome_unknown:
            operation.is_called_failed = True

    def _choose(self) -> tuple[str, tuple[Any, ...]]:
        chance = self._chance
        key, lock_id = chance.choice(KEYS), chance.choice(LOCKS)
        value = str(chance.randrange(5))
        mine = (self._name, f"r{chance.randrange(15)}")
        expected = self._versions.get(key, 0)
        choices: list[tuple[int, str, tuple[Any, ...]]] = [
            (30, "post", (chance.choice(CHANNELS),)),
            (6, "set", (key, value, None)),
            (6, "set", (key, value, expected)),
            (2, "delete", (key,)),
            (5, "acquire", (lock_id, self._name, chance.choice((1, 30)), chance.choice((0, 0, 1)))),
            (7, "release", (lock_id, self._tokens.get(lock_id, 1))),
            (10, "reserve", mine),
            (8, "give_back", mine),
            (4, "post_and_set", (chance.choice(CHANNELS), key, value)),
            (6, "read_channel", (chance.choice(CHANNELS),)),
            (6, "read_config", (key,)),
            (4, "read_lock", (lock_id,)),
            (3, "read_number", (chance.randint(1, POOL_SIZE),)),
            (3, "read_pool", ()),
        ]
        [(_weight, kind, arguments)] = chance.choices(choices, [weight for weight, *_ in choices])
        return kind, arguments

    # Commands: each notes its answer and where it was committed.

    async def _post(self, client: AsyncClient, done: Operation, channel_id: str) -> None:
        posted = await client.messages.post(
            channel_id, self._name, "text", request_id=done.request_id
        )
        done.answer, done.position = posted.sequence, posted.receipt.position

    async def _set(
        self, client: AsyncClient, done: Operation, key: str, value: str, expected: int | None
    ) -> None:
        written = await client.config.set(
            key, value, expected_version=expected, request_id=done.request_id
        )
        done.answer, done.position = written.results[0].version, written.receipt.position
        self._versions[key] = done.answer

    async def _delete(self, client: AsyncClient, done: Operation, key: str) -> None:
        deleted = await client.config.delete(key, request_id=done.request_id)
        done.answer, done.position = deleted.version, deleted.receipt.position

    async def _acquire(
        self, client: AsyncClient, done: Operation, lock_id: str, holder: str, ttl: int, wait: int
    ) -> None:
        acquired = await client.locks.acquire(
            lock_id, holder, ttl=ttl, wait=wait, request_id=done.request_id
        )
        done.answer, done.position = acquired.lock.fencing_token, acquired.receipt.position
        self._tokens[lock_id] = done.answer

    async def _release(
        self, client: AsyncClient, done: Operation, lock_id: str, token: int
    ) -> None:
        released = await client.locks.release(lock_id, token, request_id=done.request_id)
        done.answer, done.position = released.receipt.changed, released.receipt.position

    async def _reserve(self, client: AsyncClient, done: Operation, owner: str, key: str) -> None:
        reserved = await client.reservations.reserve(POOL, owner, key, request_id=done.request_id)
        done.answer, done.position = reserved.number, reserved.receipt.position

    async def _give_back(self, client: AsyncClient, done: Operation, owner: str, key: str) -> None:
        released = await client.reservations.release(POOL, owner, key, request_id=done.request_id)
        done.answer, done.position = released.receipt.changed, released.receipt.position

    async def _post_and_set(
        self, client: AsyncClient, done: Operation, channel_id: str, key: str, value: str
    ) -> None:
        async with client.batch(request_id=done.request_id) as batch:
            posted = await batch.messages.post(channel_id, self._name, "text")
            written = await batch.config.set(key, value)
        done.answer = (posted.sequence, written.results[0].version)
        done.position = posted.receipt.position

    # Reads: each notes which thing it saw, and what it was like.

    async def _read_channel(self, client: AsyncClient, done: Operation, channel_id: str) -> None:
        done.thing = ("channel", channel_id)
        done.answer = (await client.channels.get(channel_id)).head_sequence

    async def _read_config(self, client: AsyncClient, done: Operation, key: str) -> None:
        done.thing = ("config", key)
        try:
            value = await client.config.get(key)
        except ConfigNotFound:
            done.answer = None
        else:
            self._versions[key] = value.version
            done.answer = (value.version, value.body.data.decode())

    async def _read_lock(self, client: AsyncClient, done: Operation, lock_id: str) -> None:
        done.thing = ("lock", lock_id)
        lock = await client.locks.get(lock_id)
        done.answer = None if lock is None else (lock.holder_id, lock.fencing_token)

    async def _read_number(self, client: AsyncClient, done: Operation, number: int) -> None:
        done.thing = ("number", number)
        found = await client.reservations.number(POOL, number)
        if found.HasField("reservation"):
            done.answer = (found.reservation.owner_id, found.reservation.key)

    async def _read_pool(self, client: AsyncClient, done: Operation) -> None:
        done.thing = ("pool", POOL)
        done.answer = (await client.pools.get(POOL)).held_count


def _told(error: GaplessError, operation: Operation) -> tuple[Thing, Any]:
    """What a refusal says about which thing."""
    name = operation.arguments[0]
    match error.reason:
        case "CONFIG_VERSION_MISMATCH":
            return ("config", name), int(error.metadata["version"])
        case "LOCK_HELD":
            return ("lock", name), error.metadata["holder_id"]
        case _:
            return ("pool", POOL), POOL_SIZE
