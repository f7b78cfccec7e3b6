"""An erasure comes to its end although the disk stood in its way for a while."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gapless.v1.commands_pb2 import Command
from gapless.v1.erasures_pb2 import RedactMessageRequest
from gapless_server.checkpoint.sqlite import SqliteCheckpoint
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer.clock import LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.writer.harness import GENERAL, KERNEL, create, post, result, run

# A hang must end the test.
SECONDS_MAX = 20.0


class FailingCheckpoint(SqliteCheckpoint):
    """A checkpoint that cannot be written the first time."""

    failures_left = 1

    def __init__(self, path: Path, incarnation: str) -> None:
        super().__init__(path, incarnation)
        self.scrubbed = asyncio.Event()

    async def write(self, *changes: Any) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise OSError("no room")
        await super().write(*changes)

    async def scrub(self) -> bool:
        done = await super().scrub()
        self.scrubbed.set()
        return done


async def test_an_erasure_whose_checkpoint_failed_ends_without_a_further_command(
    tmp_path: Path,
) -> None:
    store = SqliteJournalStore(tmp_path / "data", "nowhere")
    journal = await store.open("test")
    checkpoint = FailingCheckpoint(tmp_path / "test.state", journal.incarnation)
    namespace = await Namespace.open(
        "test", KERNEL, journal, LogClock(ManualClock()), WriterLimits(), lambda *_: None, None,
        checkpoint,
    )  # fmt: skip
    _created, posted = await run(namespace, create(), post("secret", text="the secret"))
    redact = RedactMessageRequest(
        request_id="redact",
        channel_id=GENERAL,
        message_id=result(posted).post_message.message_id,
        requested_by="officer",
    )

    await run(namespace, Command(redact_message=redact))
    pending_at_first = journal.erasure_pending
    async with asyncio.timeout(SECONDS_MAX):
        await checkpoint.scrubbed.wait()

    assert pending_at_first
    assert checkpoint.failures_left == 0
    assert checkpoint.at.head == namespace.head
    await namespace.close()
    await store.close()
