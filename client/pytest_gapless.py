"""Fixtures for tests against a real gapless service; pytest loads this module by itself.

It stands beside the package and imports nothing of it until a fixture is asked for, so that test
runs without gapless pay nothing, and coverage sees the package imported when it is measured.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gapless import AsyncClient, Client
    from gapless.testing import InProcessServer
    from gapless_server.writer.clock import ManualClock


@pytest.fixture(scope="session")
def gapless_clock() -> ManualClock:
    """The clock of `gapless_server`: stands still until ``gapless_clock.advance(seconds)``.

    It begins with the present time. All tests of the session share it, so it only moves forward.
    """
    from gapless.testing import manual_clock

    return manual_clock()


@pytest.fixture(scope="session")
def gapless_server(
    gapless_clock: ManualClock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessServer]:
    """A service in this process, on SQLite in a temporary directory, for the whole session."""
    from gapless.testing import InProcessServer

    directory = tmp_path_factory.mktemp("gapless")
    with InProcessServer(directory=directory, clock=gapless_clock) as server:
        yield server


@pytest.fixture
def gapless_client(gapless_server: InProcessServer) -> Iterator[Client]:
    """A blocking client in a namespace of the test's own."""
    with gapless_server.client(_new_namespace()) as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    """Makes the asynchronous fixture for pytest-asyncio, or in pytest's own way, as for anyio."""
    fixture: Any = pytest.fixture
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio

        fixture = pytest_asyncio.fixture
    config.pluginmanager.register(_async_fixtures(fixture), "gapless-async")


def _async_fixtures(fixture: Any) -> object:
    class AsyncFixtures:
        @fixture  # type: ignore[untyped-decorator]  # one of two plugins' own
        async def async_gapless_client(
            self, gapless_server: InProcessServer
        ) -> AsyncIterator[AsyncClient]:
            """A client for asyncio in a namespace of the test's own."""
            async with gapless_server.async_client(_new_namespace()) as client:
                yield client

    return AsyncFixtures()


def _new_namespace() -> str:
    return f"test-{uuid.uuid4().hex}"
