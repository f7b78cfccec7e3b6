"""Reads that take long are answered in steps: of one state, and others have their turn (G4, G7)."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from gapless_server.core.kinds.channels import head_sequence
from gapless_server.core.state import State
from tests.writer.harness import (
    GENERAL,
    HeldJournal,
    create,
    frame_of,
    memory_journal,
    open_namespace,
    post,
    run,
    settle,
)


class Steps:
    """A read that looks at the head of a channel before and after a pause that a test ends."""

    def __init__(self) -> None:
        self.begun = False
        self.may_end = False

    def __call__(self, state: State) -> Generator[None, None, tuple[int, int]]:
        before = head_sequence(state, GENERAL)
        self.begun = True
        while not self.may_end:
            yield
        return before, head_sequence(state, GENERAL)


async def test_g4_nothing_is_decided_between_the_steps_of_a_read() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create(), post("p1"))
    steps = Steps()
    reading = asyncio.create_task(namespace.read_in_steps(steps))
    await settle()
    assert steps.begun
    frame = frame_of(post("p2"))
    namespace.submit(frame)
    await settle()

    assert not frame.outcomes.done()
    assert await namespace.read(lambda state: head_sequence(state, GENERAL)) == 1
    steps.may_end = True
    assert await reading == (1, 1)
    await frame.outcomes
    assert await namespace.read(lambda state: head_sequence(state, GENERAL)) == 2
    await namespace.close()


async def test_g2_a_read_in_steps_waits_for_the_disk() -> None:
    journal = HeldJournal(await memory_journal())
    namespace = await open_namespace(journal)
    await run(namespace, create())
    journal.hold()
    frame = frame_of(post("p1"))
    namespace.submit(frame)
    await journal.entered.wait()
    steps = Steps()
    steps.may_end = True
    reading = asyncio.create_task(namespace.read_in_steps(steps))
    await settle()

    assert not steps.begun
    journal.release()
    assert await reading == (1, 1)
    await namespace.close()


async def test_a_read_in_steps_that_is_refused_says_so() -> None:
    def refused(_state: State) -> Generator[None, None, None]:
        yield
        raise KeyError("gone")

    namespace = await open_namespace(await memory_journal())

    with pytest.raises(KeyError):
        await namespace.read_in_steps(refused)
    await run(namespace, create())  # and the writer goes on
    await namespace.close()


async def test_nobody_waits_for_the_steps_of_a_read_that_was_given_up() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())
    steps = Steps()
    reading = asyncio.create_task(namespace.read_in_steps(steps))
    await settle()
    assert steps.begun

    reading.cancel()

    async with asyncio.timeout(10):
        await run(namespace, post("p1"))
    await namespace.close()


async def test_a_closed_namespace_answers_a_read_in_steps_at_once() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create(), post("p1"))
    await namespace.drain()
    steps = Steps()
    steps.may_end = True

    assert await namespace.read_in_steps(steps) == (1, 1)
    await namespace.close()
