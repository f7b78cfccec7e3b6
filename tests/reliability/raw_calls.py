"""Raw calls to a service whose loop is measured: typed commands, batches of them, and reads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.guards_pb2 import Guard
from gapless_server.writer.clock import ManualClock
from tests.core.story import command_of
from tests.rpc.wire import Wire


class Calls:
    """Sends raw calls; every command gets a request id of its own."""

    def __init__(
        self, wire: Wire, clock: ManualClock, begin: Callable[[], Awaitable[None]]
    ) -> None:
        """`begin` is called once all is prepared: what was before does not count."""
        self.wire = wire
        self.clock = clock
        self.begin = begin
        self._numbers = itertools.count()

    def command(self, message: Any) -> Command:
        """Returns a typed command with a request id."""
        message.request_id = f"{next(self._numbers):06}"
        return command_of(message)

    async def advance(self, seconds: int) -> None:
        """Lets time pass for the service."""
        await asyncio.to_thread(self.clock.advance, seconds)

    async def send(self, *typed: Message) -> None:
        """Sends commands as one frame; none may be refused."""
        results = await self.wire.run(*map(self.command, typed))
        refused = [result.error for result in results if result.HasField("error")]
        assert not refused, refused[0]

    async def batch(self, members: Sequence[Message], guards: Sequence[Guard] = ()) -> None:
        """Sends commands as one batch."""
        commands = [command_of(member) for member in members]
        await self.send(ExecuteBatchRequest(commands=commands, guards=guards))

    def batch_of(self, members: Sequence[Message]) -> Command:
        """Returns commands as one batch."""
        return self.command(ExecuteBatchRequest(commands=map(command_of, members)))

    async def ask(self, method: str, request: Message, response_type: type[Any]) -> Any:
        """Calls a method that reads."""
        return await self.wire.call(method, request, response_type)
