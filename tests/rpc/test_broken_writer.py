"""What a client sees of a writer or a journal that does what it must never do: an end, at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from gapless.v1.commands_pb2 import PipelineResponse
from gapless_server.journal.port import Journal, NoRoom, Round
from tests.rpc.in_process import CallEnded, InProcessService, in_process_service
from tests.rpc.wire import frame, seen
from tests.writer.harness import WrappedJournal, create, post, store_of

SECONDS_MAX = 30


class LostDisk(WrappedJournal):
    """A journal on a disk that is full after the first round, and then cannot even be asked."""

    async def append(self, record: Round) -> None:
        if self.appended:
            raise NoRoom("the disk is full")
        await super().append(record)

    def has_room(self) -> bool:
        raise OSError("Stale file handle")


async def test_g8_a_frame_that_the_writer_cannot_even_take_ends_its_stream_at_once() -> None:
    answered = asyncio.Queue[bytes]()
    reasons: list[str] = []

    async def frames() -> AsyncIterator[bytes]:
        for command in (create(), post("full")):
            yield frame(command)
            [result] = PipelineResponse.FromString(await answered.get()).results
            reasons.append(result.error.reason)
        yield frame(post("lost"))
        await asyncio.Future()  # as a client that waits for the answer

    async def take_answers(service: InProcessService) -> None:
        async for answer in service.pipeline(frames()):
            answered.put_nowait(answer)

    wrap: type[Journal] = LostDisk
    async with in_process_service(store_of(wrap)) as service, asyncio.timeout(SECONDS_MAX):
        with pytest.raises(CallEnded) as ended:
            await take_answers(service)

    assert reasons == ["", "DISK_FULL"]
    assert ended.value.code is grpc.StatusCode.INTERNAL
    assert seen(ended.value.status).reason == "INTERNAL_FAULT"
