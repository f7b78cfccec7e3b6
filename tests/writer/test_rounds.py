"""What is queued is decided in order and committed together, and a refusal leaves no trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gapless.v1.channels_pb2 import ArchiveChannelRequest
from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless_server.core.kernel import Kernel, Kind
from gapless_server.core.kinds import KINDS
from gapless_server.core.refusals import invalid_field
from gapless_server.writer.clock import ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.rounds import Outcome
from tests.writer.harness import (
    HeldJournal,
    WrappedJournal,
    channel_head,
    create,
    entries,
    frame_of,
    join,
    memory_journal,
    open_namespace,
    post,
    reason,
    receipt,
    run,
    sequence,
)


@pytest.fixture
async def namespace() -> AsyncIterator[Namespace]:
    namespace = await open_namespace(await memory_journal())
    yield namespace
    await namespace.close()


async def test_g1_positions_and_sequences_begin_with_1_and_have_no_gap(
    namespace: Namespace,
) -> None:
    created, *posted = await run(namespace, create(), *(post(f"p{n}") for n in range(5)))

    assert receipt(created).position == 1
    assert [sequence(outcome) for outcome in posted] == [1, 2, 3, 4, 5]
    assert [receipt(outcome).position for outcome in posted] == [2, 3, 4, 5, 6]
    assert [entry.position for entry in await entries(namespace)] == [1, 2, 3, 4, 5, 6]


async def test_g1_a_refused_command_uses_up_no_position_and_no_sequence(
    namespace: Namespace,
) -> None:
    await run(namespace, create(), post("p1"))

    missing, second, malformed, third = await run_with_malformed(namespace)

    assert reason(missing) == "CHANNEL_NOT_FOUND"
    assert reason(malformed) == "INVALID_FIELD"
    assert (sequence(second), sequence(third)) == (2, 3)
    assert (receipt(second).position, receipt(third).position) == (3, 4)
    assert namespace.head.position == 4


async def run_with_malformed(namespace: Namespace) -> list[Outcome]:
    frame = frame_of(
        post("lost", channel_id="nowhere"),
        post("p2"),
        invalid_field("body", "is not one"),
        post("p3"),
    )
    namespace.submit(frame)
    return list(await frame.outcomes)


async def test_g1_a_round_of_refusals_commits_nothing() -> None:
    journal = WrappedJournal(await memory_journal())
    namespace = await open_namespace(journal)

    outcomes = await run(namespace, post("a"), post("b"), Command())

    assert [reason(outcome) for outcome in outcomes] == [
        "CHANNEL_NOT_FOUND",
        "CHANNEL_NOT_FOUND",
        "INVALID_FIELD",
    ]
    assert journal.appended == []
    assert not namespace.exists
    await namespace.close()


async def test_g1_the_log_goes_on_without_a_gap_when_it_is_opened_again() -> None:
    journal = await memory_journal()
    namespace = await open_namespace(journal)
    await run(namespace, create(), post("p1"))
    await run(namespace, post("lost", channel_id="nowhere"))
    await namespace.drain()

    opened = await open_namespace(journal)
    [outcome] = await run(opened, post("p2"))

    assert (receipt(outcome).position, sequence(outcome)) == (3, 2)
    await opened.close()


async def test_all_that_is_queued_is_committed_with_one_append() -> None:
    journal = WrappedJournal(await memory_journal())
    namespace = await open_namespace(journal)
    frames = [frame_of(create()), *(frame_of(post(f"p{n}")) for n in range(9))]

    for frame in frames:
        namespace.submit(frame)
    for frame in frames:
        await frame.outcomes

    assert [(record.first_position, record.last_position) for record in journal.appended] == [
        (1, 10)
    ]
    await namespace.close()


async def test_g7_a_round_takes_whole_frames_up_to_its_limit_and_at_least_one() -> None:
    journal = WrappedJournal(await memory_journal())
    namespace = await open_namespace(journal, limits=WriterLimits(round_commands_max=4))
    frames = [
        frame_of(create(), post("a"), post("b")),
        frame_of(post("c"), post("d")),  # with the first it would be five
        frame_of(*(post(f"e{n}") for n in range(6))),  # alone it is six
    ]

    for frame in frames:
        namespace.submit(frame)
    for frame in frames:
        await frame.outcomes

    assert [record.last_position for record in journal.appended] == [3, 5, 11]
    await namespace.close()


async def test_g5_a_decider_that_fails_fails_its_own_command_alone() -> None:
    def broken(*_: object) -> object:
        raise ZeroDivisionError

    faulty = Kind(name="faulty", commands={ArchiveChannelRequest: broken})  # type: ignore[dict-item]
    namespace = await open_namespace(await memory_journal(), kernel=Kernel([*KINDS, faulty]))
    archive = Command(
        archive_channel=ArchiveChannelRequest(request_id="archive", channel_id="general")
    )

    _created, first, failed, second = await run(
        namespace, create(), post("p1"), archive, post("p2")
    )

    assert reason(failed) == "INTERNAL_FAULT"
    assert (sequence(first), sequence(second)) == (1, 2)
    assert namespace.head.position == 3
    await namespace.close()


async def test_g11_commit_times_do_not_go_back_with_the_clock() -> None:
    clock = ManualClock(start_us=1_000_000_000)
    journal = await memory_journal()
    namespace = await open_namespace(journal, clock=clock)

    times = []
    for seconds, jump_seconds, request_id in (
        (0, 0, "a"),
        (5, 0, "b"),
        (0, -100, "c"),
        (3, 0, "d"),
        (0, 200, "e"),
    ):
        clock.advance(seconds)
        clock.jump(jump_seconds)
        [outcome] = await run(namespace, create(request_id, channel_id=request_id))
        times.append(receipt(outcome).commit_time.seconds)

    assert times == [1000, 1005, 1005, 1008, 1108]
    await namespace.close()


async def test_g11_commit_times_do_not_go_back_across_a_restart() -> None:
    clock = ManualClock(start_us=1_000_000_000)
    journal = await memory_journal()
    namespace = await open_namespace(journal, clock=clock)
    await run(namespace, create())
    await namespace.drain()
    clock.jump(-500)

    opened = await open_namespace(journal, clock=clock)
    [outcome] = await run(opened, post("p1"))

    assert receipt(outcome).commit_time.seconds == 1000
    assert opened.now().time_us == 1_000_000_000
    await opened.close()


async def test_g10_replaying_the_log_gives_the_same_state() -> None:
    journal = await memory_journal()
    namespace = await open_namespace(journal)
    await run(namespace, create(), post("p1"), join("j1"), join("j2"))
    await run(namespace, post("p2"), post("lost", channel_id="nowhere"))
    digest = await namespace.read(lambda state: state.digest())
    await namespace.drain()

    opened = await open_namespace(journal)

    assert await opened.read(lambda state: state.digest()) == digest
    assert opened.head == namespace.head
    await opened.close()


async def test_g3_a_command_that_nobody_waits_for_once_its_round_began_is_committed() -> None:
    journal = HeldJournal(await memory_journal())
    namespace = await open_namespace(journal)
    await run(namespace, create())
    journal.hold()
    given_up, waited_for = frame_of(post("p1")), frame_of(post("p2"))
    namespace.submit(given_up)
    namespace.submit(waited_for)
    await journal.entered.wait()

    given_up.outcomes.cancel()
    journal.release()
    [outcome] = await waited_for.outcomes

    assert sequence(outcome) == 2
    assert await channel_head(namespace) == 2
    await namespace.close()


async def test_g7_thousands_of_commands_let_the_loop_breathe(namespace: Namespace) -> None:
    """A frame is decided in parts, so that others' calls are answered meanwhile."""
    await run(namespace, create())
    frame = frame_of(*(post(f"p{n}") for n in range(5_000)))
    turns = 0

    namespace.submit(frame)
    while not frame.outcomes.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns >= 10
    assert await channel_head(namespace) == 5_000


async def test_g7_one_batch_lets_the_loop_breathe_and_nobody_sees_a_part_of_it(
    namespace: Namespace,
) -> None:
    """The reads that come meanwhile are answered when all of it is durable (G5)."""
    await run(namespace, create())
    members = [post("", f"{n}") for n in range(1000)]
    batch = Command(execute_batch=ExecuteBatchRequest(request_id="batch", commands=members))
    frame = frame_of(batch)
    reads: list[asyncio.Task[int]] = []

    namespace.submit(frame)
    while not frame.outcomes.done():
        reads.append(asyncio.create_task(channel_head(namespace)))
        await asyncio.sleep(0)

    assert len(reads) >= 10
    # The first came before the batch was begun.
    assert set(await asyncio.gather(*reads[1:])) == {1000}
