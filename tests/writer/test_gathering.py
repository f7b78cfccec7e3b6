"""Calls that come one shortly after another are one round; nobody waits for a call that is not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from gapless.v1.commands_pb2 import Command
from gapless_server.writer import gathering
from gapless_server.writer.gathering import CALLS_MAX, ROUNDS_ALONE, TURNS_OF_A_CALL
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.queue import Frame
from tests.writer.harness import create, frame_of, memory_journal, open_namespace, post, run


@pytest.fixture
async def namespace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Namespace]:
    """A namespace that has its channel, in its first entry; turns may take as long as they like."""
    for name in ("SECONDS_MAX", "SECONDS_WITHOUT_A_CALL_MAX"):
        monkeypatch.setattr(gathering, name, math.inf)
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())
    yield namespace
    await namespace.close()


def call_of(command: Command) -> Frame:
    """Returns the frame of a unary call."""
    return Frame([command], "", command.ByteSize(), may_wait=True)


async def submit_each_after_turns(namespace: Namespace, turns: int, *frames: Frame) -> None:
    """Submits frames, so many turns of the loop between them, and returns when all are answered."""
    for frame in frames:
        namespace.submit(frame)
        for _ in range(turns):
            await asyncio.sleep(0)
    await asyncio.gather(*(frame.outcomes for frame in frames))


async def round_sizes(namespace: Namespace) -> list[int]:
    """Returns how many entries each round has, without the one that made the channel."""
    return [len(committed.entries) async for committed in namespace.rounds_from(2)]


async def test_calls_that_come_one_shortly_after_another_are_one_round(
    namespace: Namespace,
) -> None:
    calls = [call_of(post(f"p-{number}")) for number in range(5)]

    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, *calls)

    assert await round_sizes(namespace) == [5]


async def test_a_call_that_comes_too_late_is_not_waited_for(namespace: Namespace) -> None:
    calls = [call_of(post(f"p-{number}")) for number in range(3)]

    await submit_each_after_turns(namespace, 2 * TURNS_OF_A_CALL, *calls)

    assert await round_sizes(namespace) == [1, 1, 1]


async def test_frames_of_a_pipeline_are_not_gathered_again(namespace: Namespace) -> None:
    frames = [frame_of(post(f"p-{number}")) for number in range(3)]

    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, *frames)

    assert await round_sizes(namespace) == [1, 1, 1]


async def test_a_frame_of_a_pipeline_that_comes_among_calls_goes_with_them_at_once(
    namespace: Namespace,
) -> None:
    """Its client has gathered already, so it is not kept for the calls that may come."""
    frames = [call_of(post("p-1")), frame_of(post("p-2"), post("p-3")), call_of(post("p-4"))]

    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, *frames)

    assert await round_sizes(namespace) == [3, 1]


async def test_enough_calls_are_a_round_without_waiting_for_more(namespace: Namespace) -> None:
    calls = [call_of(post(f"p-{number}")) for number in range(CALLS_MAX)]
    late = call_of(post("late"))
    for call in calls[:-1]:
        namespace.submit(call)
    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, calls[-1], late)

    assert await round_sizes(namespace) == [CALLS_MAX, 1]


@pytest.mark.parametrize("limit", ["SECONDS_WITHOUT_A_CALL_MAX", "SECONDS_MAX"])
async def test_calls_are_gathered_for_no_longer_than_either_limit(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(gathering, limit, 0.0)
    calls = [call_of(post(f"p-{number}")) for number in range(3)]

    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, *calls)

    assert await round_sizes(namespace) == [1, 1, 1]


async def test_a_caller_who_is_alone_is_not_kept_waiting_until_two_come_together(
    namespace: Namespace,
) -> None:
    """The first rounds of one call tell that the caller is alone; the next two calls, that not."""
    for number in range(ROUNDS_ALONE):
        await submit_each_after_turns(namespace, 0, call_of(post(f"alone-{number}")))
    apart = [call_of(post(f"apart-{number}")) for number in range(2)]
    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, *apart)
    namespace.submit(call_of(post("together")))
    three = [call_of(post(f"three-{number}")) for number in range(2)]
    await submit_each_after_turns(namespace, TURNS_OF_A_CALL - 1, *three)

    assert await round_sizes(namespace) == [1] * ROUNDS_ALONE + [1, 1] + [3]
