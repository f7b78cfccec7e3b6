"""A command that takes long is decided and applied with a pause: others have their turn in it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.pool_reservations_pb2 import ReleaseOwnerRequest, ReservationsReleased
from gapless_server.core.kernel import Decision, Kernel
from gapless_server.core.kinds import pools
from gapless_server.writer.breath import SECONDS_BETWEEN_BREATHS
from gapless_server.writer.namespace import Namespace
from tests.core.pool_commands import create, release_owner, reserve
from tests.core.story import command_of
from tests.writer.harness import frame_of, memory_journal, open_namespace, result


class Slow:
    """Pools whose ReleaseOwner takes long to be decided, and notes of what happened."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.kind = replace(
            pools.KIND,
            commands={**pools.KIND.commands, ReleaseOwnerRequest: self._decide},
            events={**pools.KIND.events, ReservationsReleased: self._evolve},
        )

    def _decide(self, *arguments: Any) -> Decision:
        until = time.monotonic() + 2 * SECONDS_BETWEEN_BREATHS
        while time.monotonic() < until:
            pass
        self.happened.append("decided")
        return pools.KIND.commands[ReleaseOwnerRequest](*arguments)

    def _evolve(self, *arguments: Any) -> None:
        self.happened.append("applied")
        pools.KIND.events[ReservationsReleased](*arguments)

    async def others(self) -> None:
        while True:
            self.happened.append("another's turn")
            await asyncio.sleep(0)


def command(message: Any, request_id: str = "") -> Command:
    message.request_id = request_id
    return command_of(message)


@pytest.mark.parametrize("in_a_batch", [False, True])
async def test_g7_others_have_a_turn_between_what_is_decided_and_what_is_applied(
    *, in_a_batch: bool
) -> None:
    # Given a pool with a reservation
    slow = Slow()
    namespace = await open_namespace(await memory_journal(), kernel=Kernel([slow.kind]))
    await outcomes_of(namespace, command(create((1, 10)), "1"), command(reserve("k"), "2"))
    others = asyncio.create_task(slow.others())

    # When a release takes long
    if in_a_batch:
        members = ExecuteBatchRequest(request_id="3", commands=[command(release_owner())])
        release = Command(execute_batch=members)
    else:
        release = command(release_owner(), "3")
    await outcomes_of(namespace, release)
    others.cancel()
    await namespace.close()

    # Then others did something right after it was decided, before anything was applied
    decided = slow.happened.index("decided")
    applied = slow.happened.index("applied")
    assert slow.happened[decided + 1 : applied] == ["another's turn"]


async def outcomes_of(namespace: Namespace, *commands: Command) -> None:
    frame = frame_of(*commands)
    namespace.submit(frame)
    for outcome in await frame.outcomes:
        result(outcome)
