"""What a client sees of a writer or a journal that does what it must never do: an end, at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from gapless.v1.commands_pb2 import PipelineResponse
from gapless.v1.events_pb2 import WatchRequest
from gapless_server.journal.port import Journal, NoRoom, Round
from gapless_server.writer.limits import WriterLimits
from tests.rpc.in_process import NAMESPACE, CallEnded, InProcessService, in_process_service
from tests.rpc.wire import frame, seen
from tests.writer.harness import WrappedJournal, create, post, run, store_of

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


class GapJournal(WrappedJournal):
    """A journal whose rounds, when they are read again, claim to have an entry more."""

    async def read(self, from_position: int) -> AsyncIterator[Round]:
        async for record in self._journal.read(from_position):
            yield record._replace(last_position=record.last_position + 1)


@asynccontextmanager
async def gap_in_the_log() -> AsyncIterator[InProcessService]:
    """Gives a service with three entries, the first two of which it has to read."""
    wrap: type[Journal] = GapJournal
    limits = WriterLimits(feed_bytes_max=1)
    async with in_process_service(store_of(wrap), limits) as service:
        async with service.namespaces.use(NAMESPACE) as namespace:
            for command in (create(), post("p1"), post("p2")):
                await run(namespace, command)
        yield service


def assert_damaged(ended: CallEnded) -> None:
    assert ended.code is grpc.StatusCode.DATA_LOSS
    refusal = seen(ended.status)
    assert refusal.reason == "LOG_CORRUPT"
    assert refusal.metadata["description"] == ("the round of positions 1 to 2 has no entry after 1")


async def test_g8_a_watch_that_comes_to_a_gap_in_a_round_ends_as_damaged() -> None:
    async with gap_in_the_log() as service, asyncio.timeout(SECONDS_MAX):
        watching = service.watch(WatchRequest(from_start=True).SerializeToString())
        with pytest.raises(CallEnded) as ended:
            async for _response in watching:
                pass

    assert_damaged(ended.value)


async def test_g8_a_page_of_the_log_with_a_gap_in_a_round_is_refused_as_damaged() -> None:
    async with gap_in_the_log() as service:
        with pytest.raises(CallEnded) as ended:
            await service.unary("EventService/ReadEvents", b"")

    assert_damaged(ended.value)
