"""Damage that a start does not come by is found when it is read, and harms nobody else (G8)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gapless.v1.commands_pb2 import Command
from gapless.v1.erasures_pb2 import RedactMessageRequest
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import Corrupt, JournalError, Round
from gapless_server.writer.clock import ManualClock
from gapless_server.writer.namespace import Namespace
from tests.checkpoint.test_checkpoints import NAME, Disk
from tests.writer.harness import (
    WrappedJournal,
    create,
    entries,
    memory_journal,
    open_namespace,
    post,
    reason,
    receipt,
    result,
    run,
    sequence,
    settle,
)
from tests.writer.locks import acquire

DAMAGED_POSITION = 3


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@asynccontextmanager
async def damaged(disk: Disk) -> AsyncIterator[tuple[Namespace, str]]:
    """Gives a namespace with a damaged round before its checkpoint, and the message in it."""
    async with disk.namespace() as namespace:
        await run(namespace, create())
        outcomes = [(await run(namespace, post(f"r{number}")))[0] for number in range(2, 6)]
        message_id = result(outcomes[1]).post_message.message_id
    with closing(sqlite3.connect(disk.directory / "namespaces" / f"{NAME}.db")) as connection:
        connection.execute(
            "UPDATE rounds SET data = zeroblob(9) WHERE first_position = ?", (DAMAGED_POSITION,)
        )
        connection.commit()
    async with disk.namespace() as namespace:
        yield namespace, message_id


def redacting(message_id: str) -> Command:
    request = RedactMessageRequest(
        request_id="redact",
        channel_id="general",
        message_id=message_id,
        requested_by="officer",
        reason="it was asked for",
    )
    return Command(redact_message=request)


async def test_a_log_that_is_read_up_to_the_damage_is_refused_there(disk: Disk) -> None:
    async with damaged(disk) as (namespace, _message_id):
        seen: list[int] = []

        async def read_all() -> None:
            async for committed in namespace.rounds_from(1):
                seen.append(committed.record.first_position)

        with pytest.raises(Refused, match="positions 3 to 3 is not what was committed") as refused:
            await read_all()

        assert refused.value.row.reason == "LOG_CORRUPT"
        assert seen == [1, 2]
        assert [entry.position for entry in await entries(namespace, 4)] == [4, 5]


async def test_g3_a_request_id_whose_answer_is_damaged_is_refused_and_never_run_again(
    disk: Disk,
) -> None:
    async with damaged(disk) as (namespace, _message_id):
        again, other = await run(namespace, post("r3"), post("new"))
        with pytest.raises(Refused) as refused:
            await namespace.entry_of_request("", "r3")

    assert reason(again) == "LOG_CORRUPT"
    assert refused.value.row.reason == "LOG_CORRUPT"
    assert (sequence(other), receipt(other).position) == (5, 6)


async def test_g5_what_cannot_be_erased_is_refused_and_nothing_of_it_is_kept(disk: Disk) -> None:
    async with damaged(disk) as (namespace, message_id):
        [refused] = await run(namespace, redacting(message_id))
        [other] = await run(namespace, post("new"))

    assert reason(refused) == "LOG_CORRUPT"
    assert (sequence(other), receipt(other).position) == (5, 6)


class Unreadable(WrappedJournal):
    """A log that cannot be read once, when the test says so, and is not damaged."""

    in_the_way = False

    def read(self, from_position: int) -> AsyncIterator[Round]:
        if self.in_the_way:
            self.in_the_way = False
            raise JournalError("too many open files")
        return super().read(from_position)


async def test_what_cannot_be_erased_now_is_refused_for_now() -> None:
    """Nothing is known to be damaged, and nothing was written: no reason to stop for."""
    journal = Unreadable(await memory_journal())
    namespace = await open_namespace(journal)
    _, posted = await run(namespace, create(), post("r1"))
    redact = redacting(result(posted).post_message.message_id)

    journal.in_the_way = True
    [refused] = await run(namespace, redact)
    [done] = await run(namespace, redact)
    await namespace.close()

    assert reason(refused) == "LOG_UNAVAILABLE"
    assert receipt(done).changed


class TakesNothing(WrappedJournal):
    """A log that takes no round, as SQLite finds its file damaged, from when the test says so."""

    takes_nothing = False
    tries = 0

    async def append(self, record: Round) -> None:
        if self.takes_nothing:
            self.tries += 1
            raise Corrupt("database disk image is malformed")
        await super().append(record)


async def test_what_ends_by_itself_is_tried_once_a_second_where_the_log_takes_nothing() -> None:
    """And keeps nobody from closing the log."""
    journal, clock = TakesNothing(await memory_journal()), ManualClock()
    namespace = await open_namespace(journal, clock=clock)
    await run(namespace, acquire("ann", ttl_seconds=1))
    journal.takes_nothing = True

    for _ in range(3):
        clock.advance(2)
        await settle()
        await settle()
    async with asyncio.timeout(10):
        await namespace.close()

    assert journal.tries == 3


async def test_g8_a_log_that_cannot_grow_is_read_and_refuses_what_is_new(disk: Disk) -> None:
    """To stop the service for it would stop it again and again, with each attempt of a client."""
    async with disk.namespace() as namespace:
        await run(namespace, create(), post("r1"))
    log = disk.directory / "namespaces" / f"{NAME}.db"
    content = bytearray(log.read_bytes())
    # The file says that it has free pages, and the list of them is nowhere.
    content[32:40] = (999_999).to_bytes(4, "big") + (5).to_bytes(4, "big")
    log.write_bytes(content)

    async with disk.namespace() as namespace:
        large = post("large", text="x" * 20_000)
        refused = [reason((await run(namespace, large))[0]) for _ in range(2)]
        [known] = await run(namespace, post("r1"))
        seen = [entry.position for entry in await entries(namespace)]

    assert refused == ["LOG_CORRUPT", "LOG_CORRUPT"]
    assert receipt(known).replayed
    assert seen == [1, 2]
