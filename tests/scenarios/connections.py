"""Several connections of one process, whose calls are under way at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from gapless import AsyncClient, GaplessError, Receipt
from tests.scenarios.processes import Place


class Received(Protocol):
    """The answer to a command."""

    @property
    def receipt(self) -> Receipt: ...


Answer = TypeVar("Answer", bound=Received)


@asynccontextmanager
async def connections(place: Place, count: int) -> AsyncIterator[list[AsyncClient]]:
    """Gives so many clients, each with a connection of its own that stands already."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient(place.address, namespace=place.namespace))
            for _ in range(count)
        ]
        await asyncio.gather(*(client.operations.server_info() for client in clients))
        yield clients


async def in_order(calls: Sequence[Awaitable[Answer]]) -> list[Answer]:
    """Runs commands at once, all of which must succeed; gives the answers in commit order."""
    return by_position(await asyncio.gather(*calls))


def by_position(answers: Sequence[Answer]) -> list[Answer]:
    """Returns the answers to commands in the order in which they were committed."""
    return sorted(answers, key=lambda answer: answer.receipt.position)


async def outcomes(
    calls: Sequence[Awaitable[Answer]],
) -> tuple[list[Answer], list[GaplessError]]:
    """Runs commands at once; gives the answers of those that succeed, and the refusals."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in ended if isinstance(outcome, GaplessError)]
    unexpected = [
        outcome
        for outcome in ended
        if isinstance(outcome, BaseException) and not isinstance(outcome, GaplessError)
    ]
    assert not unexpected, unexpected
    answers = [outcome for outcome in ended if not isinstance(outcome, BaseException)]
    return answers, refused
