"""A command that takes long is decided and applied with a pause: others have their turn in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.lists_pb2 import ListItemsInserted
from gapless.v1.pool_reservations_pb2 import ReleaseOwnerRequest, ReservationsReleased
from gapless_server.core.kernel import Decision, Kernel
from gapless_server.core.kinds import lists, pools
from gapless_server.core.kinds.lists.tables import ListTables
from gapless_server.core.state import State
from gapless_server.core.steps import ROWS_BETWEEN_PAUSES, InSteps
from gapless_server.writer.breath import SECONDS_BETWEEN_BREATHS
from gapless_server.writer.namespace import Namespace
from tests.core.list_commands import DECK, insert
from tests.core.list_commands import create as create_list
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


class AppliedInParts:
    """Lists whose items take long to be put, and notes of how many there were in each pause."""

    def __init__(self) -> None:
        self.happened: list[int | str] = []
        self.kind = replace(
            lists.KIND,
            events={**lists.KIND.events, ListItemsInserted: InSteps(self._evolve)},
        )

    def _evolve(self, state: State, *event_and_moment: Any) -> Generator[None, None, None]:
        evolve: Any = lists.KIND.events[ListItemsInserted]
        for _ in evolve.steps(state, *event_and_moment):
            until = time.monotonic() + 2 * SECONDS_BETWEEN_BREATHS
            while time.monotonic() < until:
                pass
            self.happened.append(items_of(state))
            yield


def items_of(state: State) -> int:
    return state.of(ListTables).items.count(DECK)


@pytest.mark.parametrize("in_a_batch", [False, True])
async def test_g2_nobody_reads_a_part_of_a_command_that_is_applied_in_parts(
    *, in_a_batch: bool
) -> None:
    # Given a list
    parts = AppliedInParts()
    namespace = await open_namespace(await memory_journal(), kernel=Kernel([parts.kind]))
    await outcomes_of(namespace, command(create_list(), "1"))

    async def read_at_every_turn() -> None:
        while True:
            parts.happened.append("another's turn")
            reads.append(asyncio.ensure_future(namespace.read(items_of)))
            await asyncio.sleep(0)

    # When many items are put, and others read all the time
    reads: list[asyncio.Future[int]] = []
    item_ids = map(str, range(2 * ROWS_BETWEEN_PAUSES))
    insertion = command(insert(*item_ids), "" if in_a_batch else "2")
    if in_a_batch:
        members = ExecuteBatchRequest(request_id="2", commands=[insertion])
        insertion = Command(execute_batch=members)
    others = asyncio.create_task(read_at_every_turn())
    await outcomes_of(namespace, insertion)
    others.cancel()

    # Then others had their turn while a half was there, and it was shown to nobody
    half = parts.happened.index(ROWS_BETWEEN_PAUSES)
    assert parts.happened[half - 1 : half + 2] == [
        "another's turn",
        ROWS_BETWEEN_PAUSES,
        "another's turn",
    ]
    assert set(await asyncio.gather(*reads)) <= {0, 2 * ROWS_BETWEEN_PAUSES}
    await namespace.close()


async def outcomes_of(namespace: Namespace, *commands: Command) -> None:
    frame = frame_of(*commands)
    namespace.submit(frame)
    for outcome in await frame.outcomes:
        result(outcome)
