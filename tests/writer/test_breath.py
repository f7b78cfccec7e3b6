"""A writer makes way for the writers of other namespaces, and for nobody else more than once."""

from __future__ import annotations

import asyncio
import time

from gapless_server.writer.breath import (
    EMPTY_TURN_SECONDS,
    SHARED_SECONDS,
    TURNS_MAX,
    Breath,
    Sharing,
)


async def _turns_let_through(breath: Breath) -> int:
    """How many turns of the loop a command that needs many of them gets in one breath."""
    turns = 0

    async def command() -> None:
        nonlocal turns
        while True:
            turns += 1
            busy_until = time.monotonic() + 2 * EMPTY_TURN_SECONDS
            while time.monotonic() < busy_until:
                pass
            await asyncio.sleep(0)

    task = asyncio.create_task(command())
    await breath.take()
    task.cancel()
    return turns


async def test_a_command_of_another_namespace_is_let_through_in_one_breath() -> None:
    sharing = Sharing()
    sharing.begin_round("noisy")
    sharing.begin_round("quiet")

    assert await _turns_let_through(Breath(sharing)) == TURNS_MAX


async def test_a_writer_that_is_alone_gives_up_one_turn_a_breath() -> None:
    sharing = Sharing()
    sharing.begin_round("alone")
    sharing.begin_round("alone")

    assert await _turns_let_through(Breath(sharing)) == 1
    assert await _turns_let_through(Breath()) == 1


def test_a_loop_is_shared_for_a_while_after_another_namespace_wrote() -> None:
    sharing = Sharing()
    sharing.begin_round("noisy")
    assert not sharing.lasts(time.monotonic())

    sharing.begin_round("quiet")
    now = time.monotonic()

    assert sharing.lasts(now)
    assert not sharing.lasts(now + SHARED_SECONDS)
