"""Checkpoints spare a start the log, and change nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gapless.v1.channels_pb2 import ListChannelsRequest
from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless.v1.messages_pb2 import ListMessagesRequest
from gapless_server.checkpoint.port import (
    CheckpointHead,
)
from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import Corrupt, Head, Journal
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.rpc.frames import FrameTaker
from gapless_server.writer.clock import LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.writer.harness import KERNEL, create, post, reason, receipt, run, sequence

NAME = "test"
HEAD = CheckpointHead(Head(7, bytes(range(32))), 1_700_000_000_000_000)
NEXT_HEAD = CheckpointHead(Head(8, bytes(32)), 1_700_000_000_000_001)
LIMITS = PageLimits()


class Disk:
    """A data directory, and the namespace in it, opened as the service opens it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_path = directory / "namespaces" / f"{NAME}.state"

    @asynccontextmanager
    async def namespace(
        self,
        *,
        checkpoint_entries: int = 5,
        checkpoint_bytes: int = 1_000_000,
        crash: bool = False,
    ) -> AsyncIterator[Namespace]:
        store = SqliteJournalStore(self.directory, "nowhere")
        journal: Journal = await store.open(NAME)
        checkpoints = SqliteCheckpointStore(self.directory / "namespaces")
        checkpoint = await checkpoints.open(NAME, journal.incarnation)
        try:
            namespace = await Namespace.open(
                NAME,
                KERNEL,
                journal,
                LogClock(ManualClock()),
                WriterLimits(
                    checkpoint_entries=checkpoint_entries, checkpoint_bytes=checkpoint_bytes
                ),
                lambda *_: None,
                None,
                checkpoint,
            )
        except BaseException:
            await checkpoint.close()
            await journal.close()
            await store.close()
            raise
        try:
            yield namespace
        finally:
            if crash:
                # What a crash leaves: the log as it is, the checkpoint where it last stood.
                await namespace.drain()
                writing = [task for task in asyncio.all_tasks() if task.get_name() == "checkpoint"]
                await asyncio.gather(*writing)
                await checkpoint.close()
                await journal.close()
            else:
                await namespace.close()
            await store.close()

    def damage_rows(self, table: str) -> None:
        connection = sqlite3.connect(self.state_path)
        connection.execute(f'UPDATE "{table}" SET chunk = ?', (b"no checksum fits this",))
        connection.commit()
        connection.close()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


async def everything(namespace: Namespace) -> list[Any]:
    requests = (ListChannelsRequest(), ListMessagesRequest(channel_id="general", page_size=1000))
    return [
        await namespace.read(lambda state, asked=asked: KERNEL.query(state, asked, LIMITS))
        for asked in requests
    ]


async def digest(namespace: Namespace) -> bytes:
    return await namespace.read(lambda state: state.digest())


@pytest.mark.parametrize("crash", [False, True])
async def test_g10_a_start_from_a_checkpoint_has_the_state_that_the_log_adds_up_to(
    disk: Disk, crash: bool
) -> None:
    async with disk.namespace(crash=crash) as namespace:
        await run(namespace, create())
        for number in range(23):
            await run(namespace, post(f"r{number}"))
        before = await everything(namespace)
        state = await digest(namespace)

    async with disk.namespace() as namespace:
        assert await everything(namespace) == before
        assert await digest(namespace) == state
        [outcome] = await run(namespace, post("next"))
        assert sequence(outcome) == 24
    disk.state_path.unlink()
    async with disk.namespace() as namespace:
        [outcome] = await run(namespace, post("next"))
        assert receipt(outcome).replayed
        assert sequence(outcome) == 24


async def test_a_start_replays_only_what_came_after_the_checkpoint(disk: Disk) -> None:
    async with disk.namespace() as namespace:
        await run(namespace, create(), *[post(f"r{number}") for number in range(9)])

    checkpoint = await SqliteCheckpointStore(disk.state_path.parent).open(
        NAME, await incarnation_of(disk)
    )

    assert checkpoint.at.head.position == 10
    await checkpoint.close()


async def test_g7_few_entries_of_many_bytes_do_not_wait_in_memory_for_many_entries(
    disk: Disk,
) -> None:
    limits = {"checkpoint_entries": 1000, "checkpoint_bytes": 100_000}
    async with disk.namespace(crash=True, **limits) as namespace:
        incarnation = namespace.incarnation
        await run(namespace, create())
        for number in range(4):
            await run(namespace, post(f"r{number}", text="x" * 40_000))

    checkpoint = await SqliteCheckpointStore(disk.state_path.parent).open(NAME, incarnation)

    assert checkpoint.at.head.position == 4
    await checkpoint.close()


async def incarnation_of(disk: Disk) -> str:
    async with disk.namespace() as namespace:
        return namespace.incarnation


async def test_g3_request_ids_before_and_after_the_checkpoint_are_known(disk: Disk) -> None:
    async with disk.namespace(crash=True) as namespace:
        await run(namespace, create(), *[post(f"r{number}") for number in range(7)])
        await run(namespace, post("after the checkpoint"))

    async with disk.namespace() as namespace:
        outcomes = await run(namespace, post("r3"), post("after the checkpoint"), post("new"))

    assert [receipt(outcome).replayed for outcome in outcomes] == [True, True, False]
    assert [sequence(outcome) for outcome in outcomes] == [4, 8, 9]


async def test_g3_a_reused_request_id_from_before_the_checkpoint_is_refused(disk: Disk) -> None:
    async with disk.namespace() as namespace:
        await run(namespace, create(), *[post(f"r{number}") for number in range(7)])

    async with disk.namespace() as namespace:
        [outcome] = await run(namespace, post("r3", text="another"))

    assert reason(outcome) == "REQUEST_ID_REUSED"


async def test_g8_a_log_that_ends_before_its_checkpoint_is_refused(disk: Disk) -> None:
    async with disk.namespace() as namespace:
        await run(namespace, create())
        await run(namespace, post("lost"))
    disk.state_path.with_suffix(".head").unlink()  # the other witness
    connection = sqlite3.connect(disk.state_path.with_suffix(".db"))
    connection.execute("DELETE FROM rounds WHERE first_position = 2")
    connection.commit()
    connection.close()

    with pytest.raises(Corrupt, match="the log ends at position 1, but its checkpoint stands at 2"):
        async with disk.namespace():
            pass


async def test_c2_a_damaged_row_stops_the_service_and_is_rebuilt_at_the_next_start(
    disk: Disk,
) -> None:
    async with disk.namespace() as namespace:
        await run(namespace, create(), post("r1"))
        before = await everything(namespace)

    async with disk.namespace() as namespace:
        disk.damage_rows("ChannelTables.channels")
        [outcome] = await outcomes_of_a_failure(namespace)
        assert outcome == "OUTCOME_UNKNOWN"

    async with disk.namespace() as namespace:
        assert await everything(namespace) == before


async def test_c2_a_damaged_row_that_a_run_of_posts_looks_at_stops_the_service(disk: Disk) -> None:
    async with disk.namespace() as namespace:
        await run(namespace, create(), post("r1"))
        before = await everything(namespace)
    named = post("r2")
    named.post_message.message_id = "zzz"  # looked for behind every id that the service makes
    frame = FrameTaker(KERNEL, 10).frame(encoded(post("r3"), named), "")
    assert frame.found is not None or KERNEL.runs is None  # it is a run wherever there are any

    async with disk.namespace() as namespace:
        disk.damage_rows("MessageTables.messages")
        namespace.submit(frame)
        with pytest.raises(Refused) as refused:
            await frame.outcomes
        assert refused.value.row.reason == "OUTCOME_UNKNOWN"

    async with disk.namespace() as namespace:
        assert await everything(namespace) == before


def encoded(*commands: Command) -> bytes:
    return PipelineRequest(commands=commands).SerializeToString()


async def outcomes_of_a_failure(namespace: Namespace) -> list[str]:
    try:
        await run(namespace, post("r2"))
    except Refused as refusal:
        return [refusal.row.reason]
    return []


async def test_c2_a_file_that_is_no_checkpoint_is_thrown_away(disk: Disk) -> None:
    async with disk.namespace() as namespace:
        await run(namespace, create())
    disk.state_path.write_bytes(b"this is not a database, whatever its name says" * 100)

    async with disk.namespace() as namespace:
        assert namespace.head.position == 1
        assert (await everything(namespace))[0].channels[0].channel_id == "general"
