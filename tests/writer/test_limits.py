"""What may pile up in a namespace has limits, each of which says what it is (G7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.pool_reservations_pb2 import ReserveGroupRequest
from gapless.v1.pools_pb2 import CreatePoolRequest, NumberRange
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import Journal
from gapless_server.writer.deciding import COMMANDS_AT_A_TIME
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from tests.writer.harness import (
    HeldJournal,
    WrappedJournal,
    channel_head,
    create,
    entries,
    frame_of,
    memory_journal,
    open_namespace,
    post,
    reason,
    receipt,
    run,
    sequence,
    settle,
)


@pytest.fixture
async def journal() -> AsyncIterator[HeldJournal]:
    journal = HeldJournal(await memory_journal())
    yield journal
    journal.release()


async def held_namespace(journal: HeldJournal, limits: WriterLimits) -> Namespace:
    """Returns a namespace whose writer is busy with a round, so that what comes is queued."""
    namespace = await open_namespace(journal, limits=limits)
    await run(namespace, create())
    journal.hold()
    namespace.submit(frame_of(post("p1")))
    await journal.entered.wait()
    return namespace


def refused_submit(namespace: Namespace, *posts: str) -> Refused:
    with pytest.raises(Refused) as refused:
        namespace.submit(frame_of(*(post(request_id) for request_id in posts)))
    return refused.value


async def test_g7_a_queue_full_of_commands_refuses_and_says_when_to_come_again(
    journal: HeldJournal,
) -> None:
    limits = WriterLimits(queue_commands_max=3, retry_after_seconds=0.5)
    namespace = await held_namespace(journal, limits)
    namespace.submit(frame_of(post("p2"), post("p3")))

    refusal = refused_submit(namespace, "p4", "p5")

    assert refusal.row.reason == "QUEUE_FULL"
    assert refusal.retry_after_seconds == 0.5
    assert refusal.metadata == {"namespace": "test", "limit": "3", "unit": "commands"}
    namespace.submit(frame_of(post("p4")))  # one more has room
    journal.release()
    await namespace.close()


async def test_g7_a_queue_full_of_bytes_refuses(journal: HeldJournal) -> None:
    size_bytes = post("p2").ByteSize()
    namespace = await held_namespace(journal, WriterLimits(queue_bytes_max=2 * size_bytes))
    namespace.submit(frame_of(post("p2"), post("p3")))

    refusal = refused_submit(namespace, "p4")

    assert refusal.row.reason == "QUEUE_FULL"
    assert refusal.metadata["unit"] == "bytes"
    assert refusal.metadata["limit"] == str(2 * size_bytes)
    journal.release()
    await namespace.close()


async def test_g7_a_queue_that_was_full_takes_commands_again(journal: HeldJournal) -> None:
    namespace = await held_namespace(journal, WriterLimits(queue_commands_max=1))
    queued = frame_of(post("p2"))
    namespace.submit(queued)
    refused_submit(namespace, "p3")

    journal.release()
    await queued.outcomes

    await run(namespace, post("p3"))
    assert await channel_head(namespace) == 3
    await namespace.close()


@pytest.mark.parametrize("together", [1, 2], ids="{}-in-a-round".format)
async def test_g7_a_queue_gives_the_bytes_back_of_what_was_committed(
    journal: HeldJournal, together: int
) -> None:
    bytes_max = 3 * post("p00").ByteSize()
    namespace = await open_namespace(journal, limits=WriterLimits(queue_bytes_max=bytes_max))
    await run(namespace, create())

    for first in range(0, 10, together):
        frames = [frame_of(post(f"p{first + n:02}")) for n in range(together)]
        for frame in frames:
            namespace.submit(frame)
        for frame in frames:
            await frame.outcomes

    assert await channel_head(namespace) == 10
    await namespace.close()


async def test_g7_frames_whose_callers_have_gone_are_dropped_and_give_their_room_back(
    journal: HeldJournal,
) -> None:
    limits = WriterLimits(queue_commands_max=3, queue_bytes_max=3 * post("p2").ByteSize())
    namespace = await held_namespace(journal, limits)
    gone, kept = frame_of(post("p2"), post("p3")), frame_of(post("p4"))
    namespace.submit(gone)
    namespace.submit(kept)

    gone.outcomes.cancel()
    journal.release()
    [outcome] = await kept.outcomes
    outcomes = await run(namespace, post("p5"), post("p6"), post("p7"))

    assert [sequence(one) for one in (outcome, *outcomes)] == [2, 3, 4, 5]
    await namespace.close()


async def test_g7_the_newest_rounds_are_kept_up_to_a_limit_and_older_ones_read_from_disk() -> None:
    namespace = await open_namespace(
        await memory_journal(), limits=WriterLimits(feed_bytes_max=1000)
    )
    await run(namespace, create())
    for n in range(50):
        await run(namespace, post(f"p{n}"))

    recent = namespace.feed.rounds_from(51)

    assert recent is not None
    assert namespace.feed.rounds_from(1) is None
    assert [entry.position for entry in await entries(namespace)] == list(range(1, 52))
    assert [entry.position for entry in await entries(namespace, 40)] == list(range(40, 52))
    await namespace.close()


async def test_draining_commits_what_is_queued_and_refuses_what_comes(
    journal: HeldJournal,
) -> None:
    namespace = await held_namespace(journal, WriterLimits())
    queued = frame_of(post("p2"))
    namespace.submit(queued)
    draining = asyncio.create_task(namespace.drain())
    await settle()

    refusal = refused_submit(namespace, "p3")
    journal.release()
    await draining

    assert refusal.row.reason == "SHUTTING_DOWN"
    assert queued.outcomes.done()
    assert await channel_head(namespace) == 2
    await namespace.close()


async def test_draining_ends_the_wait_for_a_position_that_will_not_come() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())
    waiting = asyncio.create_task(namespace.reached(100))
    await settle()

    await namespace.drain()

    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.row.reason == "SHUTTING_DOWN"
    await namespace.close()


def groups(*request_ids: str) -> list[Command]:
    """Commands whose answers are a hundred times as long as they are."""
    return [
        Command(
            reserve_group=ReserveGroupRequest(
                request_id=request_id, pool_id="pool", owner_id="ann", key=request_id, count=1000
            )
        )
        for request_id in request_ids
    ]


async def pool_namespace(journal: Journal, *, round_bytes_max: int) -> Namespace:
    namespace = await open_namespace(journal, limits=WriterLimits(round_bytes_max=round_bytes_max))
    ranges = [NumberRange(first=1, last=1_000_000)]
    pool = CreatePoolRequest(request_id="pool", pool_id="pool", ranges=ranges)
    await run(namespace, Command(create_pool=pool))
    return namespace


async def test_g7_a_frame_that_leads_to_too_much_is_done_up_to_there_and_the_rest_refused() -> None:
    namespace = await pool_namespace(await memory_journal(), round_bytes_max=1)
    commands = groups(*(f"g{number}" for number in range(2 * COMMANDS_AT_A_TIME)))

    outcomes = await run(namespace, *commands)

    done, rest = outcomes[:COMMANDS_AT_A_TIME], outcomes[COMMANDS_AT_A_TIME:]
    assert [receipt(outcome).position for outcome in done] == [*range(2, 2 + COMMANDS_AT_A_TIME)]
    assert {reason(outcome) for outcome in rest} == {"FRAME_LEADS_TO_TOO_MUCH"}
    assert namespace.head.position == 1 + COMMANDS_AT_A_TIME
    [again, *_] = await run(namespace, *commands[COMMANDS_AT_A_TIME:])
    assert receipt(again).position == 2 + COMMANDS_AT_A_TIME
    await namespace.close()


async def test_g7_answers_given_again_count_as_well() -> None:
    namespace = await pool_namespace(await memory_journal(), round_bytes_max=1)
    [group] = groups("g1")
    await run(namespace, group)

    first, second = await run(namespace, group, group)

    assert receipt(first).replayed
    assert reason(second) == "FRAME_LEADS_TO_TOO_MUCH"
    await namespace.close()


async def test_g7_a_batch_counts_as_soon_as_it_is_decided() -> None:
    namespace = await pool_namespace(await memory_journal(), round_bytes_max=1)
    batches = [
        Command(execute_batch=ExecuteBatchRequest(request_id=name, commands=groups("")))
        for name in ("b1", "b2")
    ]
    for number, batch in enumerate(batches):
        batch.execute_batch.commands[0].reserve_group.key = f"key{number}"

    first, second = await run(namespace, *batches)

    assert receipt(first).position == 2
    assert reason(second) == "FRAME_LEADS_TO_TOO_MUCH"
    await namespace.close()


async def test_g7_frames_beyond_what_a_round_may_hold_are_done_in_the_next_in_their_order() -> None:
    journal = WrappedJournal(await memory_journal())
    namespace = await pool_namespace(journal, round_bytes_max=1)
    batch = ExecuteBatchRequest(request_id="first", commands=groups(""))
    batch.commands[0].reserve_group.key = "first"
    frames = [
        frame_of(Command(execute_batch=batch)),
        *(frame_of(*groups(name)) for name in ("second", "third")),
    ]

    for frame in frames:
        namespace.submit(frame)
    positions = [receipt(outcome).position for frame in frames for outcome in await frame.outcomes]

    assert positions == [2, 3, 4]
    assert [record.last_position for record in journal.appended] == [1, 2, 4]
    await namespace.close()
