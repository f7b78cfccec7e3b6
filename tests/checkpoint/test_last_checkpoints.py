"""A service that stops writes last checkpoints for a while, and never at the price of its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer import namespaces as closing
from gapless_server.writer.clock import ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces
from tests.writer.harness import KERNEL, channel_head, create, post, run

NAMES = [f"n{number}" for number in range(20)]


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Namespaces]:
    store = SqliteJournalStore(data, "127.0.0.1:4275")
    namespaces = Namespaces(
        KERNEL, store, ManualClock(), WriterLimits(), NamespaceLimits(), lambda *_: None,
        checkpoints=SqliteCheckpointStore(data / "namespaces"),
    )  # fmt: skip
    yield namespaces
    await namespaces.close()
    await store.close()


async def write_to_all(data: Path) -> str:
    async with opened(data) as namespaces:
        for name in NAMES:
            async with namespaces.use(name) as namespace:
                await run(namespace, create(), post("p1"))
                incarnation = namespace.incarnation
    return incarnation


async def position_of_checkpoint(data: Path, name: str, incarnation: str) -> int:
    checkpoint = await SqliteCheckpointStore(data / "namespaces").open(name, incarnation)
    position = checkpoint.at.head.position
    await checkpoint.close()
    return position


async def test_every_namespace_has_a_checkpoint_of_its_end_if_there_was_time(
    tmp_path: Path,
) -> None:
    incarnation = await write_to_all(tmp_path)

    assert await position_of_checkpoint(tmp_path, NAMES[-1], incarnation) == 2


async def test_g7_without_time_there_is_none_and_the_next_start_replays_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "LAST_CHECKPOINTS_SECONDS_MAX", 0.0)

    incarnation = await write_to_all(tmp_path)

    assert await position_of_checkpoint(tmp_path, NAMES[-1], incarnation) == 0
    async with opened(tmp_path) as namespaces:
        for name in NAMES:
            async with namespaces.use(name) as namespace:
                assert await channel_head(namespace) == 1
