"""What waits for the writer when its caller goes away is dropped, so that others wait less."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gapless.v1.commands_pb2 import Command, PipelineResponse
from gapless_server.journal.port import Journal
from tests.rpc.in_process import InProcessService, in_process_service
from tests.rpc.wire import frame, sequences
from tests.writer.harness import HeldJournal, create, post, settle, store_of


async def answers_of(service: InProcessService, *commands: Command) -> list[int]:
    """Sends a frame for each command at once; returns the sequences that their answers tell."""

    async def frames() -> AsyncIterator[bytes]:
        for command in commands:
            yield frame(command)

    found: list[int] = []
    async for data in service.pipeline(frames()):
        found += sequences(PipelineResponse.FromString(data).results)
    return found


async def test_g7_frames_of_a_stream_whose_client_has_gone_are_dropped_before_their_round() -> None:
    journals: list[HeldJournal] = []

    def held(journal: Journal) -> Journal:
        journals.append(HeldJournal(journal))
        return journals[0]

    async with in_process_service(store_of(held)) as service:
        await answers_of(service, create())
        journals[0].hold()
        # Given a frame whose round has begun, and two that wait for the next one
        begun = asyncio.create_task(answers_of(service, post("begun")))
        await journals[0].entered.wait()
        gone = asyncio.create_task(answers_of(service, post("gone 1"), post("gone 2")))
        await settle()

        # When both clients go away
        begun.cancel()
        gone.cancel()
        await asyncio.wait([begun, gone])
        journals[0].release()

        # Then that which was begun is done, and the others are not
        assert await answers_of(service, post("next"), post("begun")) == [2, 1]
