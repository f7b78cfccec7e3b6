"""A full disk refuses commands cleanly, reads go on, and room is all that it takes to recover."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gapless.v1.messages_pb2 import ListMessagesRequest, ListMessagesResponse
from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer.clock import LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.writer.harness import KERNEL, create, post, reason, run, sequence

TMPFS_MIB = 8
MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "tmpfs", str(directory)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Namespace]:
    """Gives a namespace in a data directory."""
    store = SqliteJournalStore(directory / "data", "nowhere")
    journal = await store.open("test")
    checkpoint = await SqliteCheckpointStore(directory / "data" / "namespaces").open(
        "test", journal.incarnation
    )
    namespace = await Namespace.open(
        "test",
        KERNEL,
        journal,
        LogClock(ManualClock()),
        WriterLimits(),
        lambda *_: None,
        None,
        checkpoint,
    )
    try:
        yield namespace
    finally:
        await namespace.close()
        await store.close()


async def listed(namespace: Namespace) -> list[int]:
    request = ListMessagesRequest(channel_id="general", page_size=1000)
    response = await namespace.read(lambda state: KERNEL.query(state, request, PageLimits()))
    assert isinstance(response, ListMessagesResponse)
    return [message.sequence for message in response.messages]


def fill(directory: Path) -> Path:
    """Takes all the room that is left."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


async def test_g7_a_full_disk_is_a_clean_refusal_that_room_ends(small_disk: Path) -> None:
    async with opened(small_disk) as namespace:
        await refused_until_there_is_room(namespace, small_disk)


async def test_g7_a_full_disk_makes_no_namespace_until_there_is_room(small_disk: Path) -> None:
    async with opened(small_disk) as namespace:
        ballast = await asyncio.to_thread(fill, small_disk)

        [refused] = await run(namespace, create())
        left = [path.name for path in (small_disk / "data" / "namespaces").iterdir()]
        ballast.unlink()
        await run(namespace, create(), post("after"))

        assert reason(refused) == "DISK_FULL"
        assert left == []
        assert await listed(namespace) == [1]


async def refused_until_there_is_room(namespace: Namespace, small_disk: Path) -> None:
    await run(namespace, create(), post("before"))
    ballast = await asyncio.to_thread(fill, small_disk)

    refused: list[str] = []
    for number in range(3):
        try:
            outcomes = await run(namespace, post(f"large-{number}", text="x" * 60_000))
            refused.append(reason(outcomes[0]))
        except Refused as refusal:
            refused.append(refusal.row.reason)

    assert refused == ["DISK_FULL"] * 3
    assert await listed(namespace) == [1]

    ballast.unlink()
    [outcome] = await run(namespace, post("large-0", text="x" * 60_000))

    assert sequence(outcome) == 2
    assert await listed(namespace) == [1, 2]
