"""What is refused is not kept: a service under more load than it can take stays as small (G7).

The garbage collector is off in these tests, so that what only it would free is seen.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from gapless.v1.channels_pb2 import GetChannelRequest
from gapless.v1.commands_pb2 import Command, PipelineResponse
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.journal.port import Journal
from gapless_server.writer.limits import WriterLimits
from tests.rpc.in_process import in_process_service
from tests.rpc.wire import Wire, frame
from tests.writer.harness import HeldJournal, create, post, settle, store_of

CALLS = 10


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def in_memory(kind: type) -> int:
    """Returns how many objects of a type there are."""
    return sum(type(found) is kind for found in gc.get_objects())


def copies(data: bytes) -> int:
    """Returns how often other bytes that say the same are held by something."""
    return sum(
        type(held) is bytes and held == data and held is not data
        for found in gc.get_objects()
        for held in gc.get_referents(found)
    )


async def test_g7_frames_refused_for_a_full_queue_hold_nothing_while_their_answers_wait() -> None:
    journals: list[HeldJournal] = []

    def held(journal: Journal) -> Journal:
        journals.append(HeldJournal(journal))
        journals[0].hold()
        return journals[0]

    async def frames() -> AsyncIterator[bytes]:
        yield frame(create())
        for number in range(7):
            yield frame(post(f"{number}.0"), post(f"{number}.1"))

    async def results(answers: AsyncIterator[bytes]) -> list[int]:
        found = [PipelineResponse.FromString(answer).results async for answer in answers]
        return [sum(result.HasField("error") for result in one) for one in found]

    before, one = in_memory(Command), frame(post("3.0"), post("3.1"))
    async with in_process_service(store_of(held), WriterLimits(queue_commands_max=1)) as service:
        refused = asyncio.create_task(results(service.pipeline(frames())))
        await settle()
        while_they_wait, copies_of_one = in_memory(Command) - before, copies(one)
        journals[0].release()

        assert await refused == [0, 2, 2, 2, 2, 2, 2, 2]
        assert while_they_wait == 1, "that which is being committed"
        assert copies_of_one == 0
        assert in_memory(Command) == before


async def test_g7_a_call_that_is_refused_leaves_its_request_nowhere(wire: Wire) -> None:
    request = post("lost", "x" * 1000, channel_id="nowhere").post_message
    data = request.SerializeToString()
    before = in_memory(PostMessageRequest)

    for _ in range(CALLS):
        refusal = await wire.refusal("MessageService/PostMessage", data)
        assert refusal.reason == "CHANNEL_NOT_FOUND"
    # A client is told before the service has done with its call; other calls come after that.
    for _ in range(CALLS):
        await wire.refusal("ChannelService/GetChannel", GetChannelRequest(channel_id="nowhere"))

    assert in_memory(PostMessageRequest) == before
    assert copies(data) == 0
