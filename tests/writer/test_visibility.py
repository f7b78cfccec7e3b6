"""Nothing shows a round before it is durable: no answer, no read, no reader of the log (G2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gapless_server.writer.namespace import Namespace
from tests.writer.harness import (
    HeldJournal,
    channel_head,
    create,
    entries,
    frame_of,
    memory_journal,
    open_namespace,
    post,
    receipt,
    run,
    sequence,
    settle,
)


@pytest.fixture
async def journal() -> HeldJournal:
    return HeldJournal(await memory_journal())


@pytest.fixture
async def namespace(journal: HeldJournal) -> AsyncIterator[Namespace]:
    """A namespace with a channel of one message: the head is at 2."""
    namespace = await open_namespace(journal)
    await run(namespace, create(), post("p1"))
    yield namespace
    journal.release()
    await namespace.close()


async def test_g2_no_answer_comes_before_the_round_is_durable(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    frame = frame_of(post("p2"))
    namespace.submit(frame)
    await journal.entered.wait()
    await settle()
    answered_while_held = frame.outcomes.done()

    journal.release()
    [outcome] = await frame.outcomes

    assert not answered_while_held
    assert sequence(outcome) == 2


async def test_g2_a_read_waits_for_the_round_and_then_sees_it(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    namespace.submit(frame_of(post("p2")))
    await journal.entered.wait()
    read = asyncio.create_task(channel_head(namespace))
    await settle()
    answered_while_held = read.done()

    journal.release()

    assert await read == 2
    assert not answered_while_held


async def test_g2_readers_of_the_log_see_nothing_of_a_round_that_is_not_durable(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    frame = frame_of(post("p2"))
    namespace.submit(frame)
    await journal.entered.wait()
    await settle()
    head_while_held = namespace.head.position
    seen_while_held = [entry.position for entry in await entries(namespace)]

    journal.release()
    await frame.outcomes

    assert (head_while_held, seen_while_held) == (2, [1, 2])
    assert [entry.position for entry in await entries(namespace)] == [1, 2, 3]


async def test_g2_a_repeated_command_is_not_answered_before_the_first_is_durable(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    first, again = frame_of(post("p2")), frame_of(post("p2"))
    namespace.submit(first)
    await journal.entered.wait()
    namespace.submit(again)
    await settle()
    answered_while_held = again.outcomes.done()

    journal.release()
    [outcome] = await again.outcomes

    assert not answered_while_held
    assert receipt(outcome).replayed
    assert sequence(outcome) == 2


async def test_g2_what_became_of_a_request_id_is_not_told_before_it_is_durable(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    namespace.submit(frame_of(post("p2")))
    await journal.entered.wait()
    question = asyncio.create_task(namespace.entry_of_request("", "p2"))
    await settle()
    answered_while_held = question.done()

    journal.release()
    found = await question

    assert not answered_while_held
    assert found is not None
    assert found.entry.position == 3


async def test_g4_a_read_for_a_position_waits_until_the_log_has_it(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    waiting = asyncio.create_task(namespace.reached(3))
    namespace.submit(frame_of(post("p2")))
    await journal.entered.wait()
    await settle()
    done_while_held = waiting.done()

    journal.release()
    await waiting

    assert not done_while_held
    assert namespace.head.position == 3


async def test_g4_reads_that_wait_are_not_put_off_by_further_rounds(
    namespace: Namespace, journal: HeldJournal
) -> None:
    """A read sees the round that it waited for, though more commands are queued behind."""
    journal.hold()
    namespace.submit(frame_of(post("p2")))
    await journal.entered.wait()
    read = asyncio.create_task(channel_head(namespace))
    await settle()
    later = frame_of(post("p3"))
    namespace.submit(later)

    journal.release()

    assert await read == 2
    await later.outcomes


async def test_a_read_that_is_refused_fails_alone(
    namespace: Namespace, journal: HeldJournal
) -> None:
    def refuses(_state: object) -> None:
        raise LookupError

    journal.hold()
    namespace.submit(frame_of(post("p2")))
    await journal.entered.wait()
    bad, good = (
        asyncio.create_task(namespace.read(refuses)),
        asyncio.create_task(channel_head(namespace)),
    )
    await settle()

    journal.release()

    with pytest.raises(LookupError):
        await bad
    assert await good == 2


async def test_a_read_that_is_given_up_holds_nothing_up(
    namespace: Namespace, journal: HeldJournal
) -> None:
    journal.hold()
    namespace.submit(frame_of(post("p2")))
    await journal.entered.wait()
    given_up = asyncio.create_task(channel_head(namespace))
    await settle()
    given_up.cancel()

    journal.release()

    assert await channel_head(namespace) == 2
    await asyncio.wait([given_up])
    assert given_up.cancelled()
