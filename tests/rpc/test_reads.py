"""Reads answer at once where they can, and wait for what is not durable (G2), over the handlers."""

from __future__ import annotations

import asyncio

from gapless.v1.channels_pb2 import GetChannelRequest, GetChannelResponse
from gapless_server.journal.port import Journal
from gapless_server.rpc.calls import MIN_POSITION_KEY
from tests.rpc.in_process import NAMESPACE, InProcessService, Metadata, in_process_service
from tests.writer.harness import (
    GENERAL,
    HeldJournal,
    create,
    frame_of,
    post,
    run,
    settle,
    store_of,
)

GET_CHANNEL = GetChannelRequest(channel_id=GENERAL).SerializeToString()


async def head(service: InProcessService) -> int:
    data = await service.unary("ChannelService/GetChannel", GET_CHANNEL)
    return GetChannelResponse.FromString(data).channel.head_sequence


def answered_at_once(service: InProcessService, metadata: Metadata = ()) -> bool:
    """Says whether a read is answered without a single turn of the event loop."""
    read = service.unary("ChannelService/GetChannel", GET_CHANNEL, metadata)
    try:
        read.send(None)  # type: ignore[attr-defined]  # it is a coroutine
    except StopIteration:
        return True
    read.close()  # type: ignore[attr-defined]
    return False


async def test_g2_a_read_over_a_call_waits_for_the_round_and_then_sees_it() -> None:
    journals: list[HeldJournal] = []

    def wrap(journal: Journal) -> Journal:
        journals.append(HeldJournal(journal))
        return journals[-1]

    store = store_of(wrap)
    async with in_process_service(store) as service, service.namespaces.use(NAMESPACE) as namespace:
        await run(namespace, create(), post("p1"))
        journals[0].hold()
        namespace.submit(frame_of(post("p2")))
        await journals[0].entered.wait()
        read = asyncio.create_task(head(service))
        await settle()
        answered_while_held = read.done()

        journals[0].release()

        assert await read == 2
        assert not answered_while_held


async def test_a_read_of_an_open_namespace_that_commits_nothing_is_answered_at_once() -> None:
    async with in_process_service() as service:
        opened_for_it = answered_at_once(service)
        async with service.namespaces.use(NAMESPACE) as namespace:
            await run(namespace, create(), post("p1"))

        assert not opened_for_it
        assert answered_at_once(service)
        assert await head(service) == 1


async def test_g4_a_read_for_a_position_is_answered_at_once_if_it_is_there_and_only_then() -> None:
    async with in_process_service() as service:
        async with service.namespaces.use(NAMESPACE) as namespace:
            await run(namespace, create(), post("p1"))

        assert answered_at_once(service, ((MIN_POSITION_KEY, "2"),))
        assert not answered_at_once(service, ((MIN_POSITION_KEY, "3"),))
