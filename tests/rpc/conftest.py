"""A connection to the session's service for each test, in a namespace of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from gapless.testing import InProcessServer
from tests.rpc.wire import Wire, open_wire


@pytest.fixture
async def wire(gapless_server: InProcessServer) -> AsyncIterator[Wire]:
    async for wire in open_wire(gapless_server.address, f"wire-{uuid.uuid4().hex}"):
        yield wire
