"""Clients of both colours for tests of the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gapless import AsyncClient
from tests.sdk.colours import COLOURS, Colour, make_client
from tests.sdk.fake_service import FakeService

Connect = Callable[..., AsyncClient]


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    """Both colours, one after the other."""
    chosen: Colour = request.param
    return chosen


@pytest.fixture
async def connect(colour: Colour) -> AsyncIterator[Connect]:
    """Makes clients that are closed after the test."""
    async with AsyncExitStack() as stack:
        clients: list[AsyncClient] = []

        def make(address: str, **options: Any) -> AsyncClient:
            client = make_client(colour, address, **options)
            clients.append(client)
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def fake() -> Iterator[FakeService]:
    """A fake service that answers everything, unless the test gives it a script."""
    with FakeService() as service:
        yield service
