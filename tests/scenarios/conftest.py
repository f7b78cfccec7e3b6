"""What every scenario stands on: one service in a process of its own, and a namespace a test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from gapless import AsyncClient, Client
from gapless.testing import SubprocessServer
from tests.scenarios.processes import Place


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SubprocessServer]:
    """A service on SQLite, as it is run for real."""
    directory: Path = tmp_path_factory.mktemp("scenarios")
    with SubprocessServer(directory=directory, journal="sqlite") as server:
        yield server


@pytest.fixture
def place(service: SubprocessServer) -> Place:
    """Where the clients of a test meet: the service, and a namespace that nobody else uses."""
    return Place(service.address, f"scenario-{uuid.uuid4().hex}")


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    """A blocking client of the test itself."""
    with Client(place.address, namespace=place.namespace) as client:
        yield client


@pytest_asyncio.fixture
async def async_client(place: Place) -> AsyncIterator[AsyncClient]:
    """A client for asyncio of the test itself."""
    async with AsyncClient(place.address, namespace=place.namespace) as client:
        yield client
