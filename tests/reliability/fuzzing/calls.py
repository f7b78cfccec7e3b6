"""Fuzzes the handlers of the service, in this process and on a journal in memory.

What is refused must leave nothing: after each stretch the log holds what was acknowledged and no
more, and the state is the one that the log alone gives.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from gapless.metadata import CALLER_KEY, MIN_POSITION_KEY, NAMESPACE_KEY
from gapless.v1.commands_pb2 import Command, CommandResult, PipelineRequest, PipelineResponse
from gapless.v1.events_pb2 import WatchRequest
from gapless_server.core.wire import bytes_tag, field
from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.rpc.commands import SERVICE as COMMANDS
from gapless_server.rpc.events import SERVICE as EVENTS
from gapless_server.rpc.unary import kind_services
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.recount import Recount
from gapless_server.writer.clock import ManualClock
from tests.reliability.fuzzing.damage import Damager
from tests.reliability.fuzzing.messages import MessageMaker
from tests.reliability.fuzzing.verdicts import CHANGED, FAULTS, HANGS, STATES, judge_status
from tests.reliability.harness import Run
from tests.rpc.in_process import NAMESPACE, CallEnded, InProcessService, Metadata
from tests.writer.harness import KERNEL

# After so many inputs the log and the state are compared, and a new service begins.
STRETCH: Final = 1000
_FRAME_COMMANDS: Final = 20
_MEMBER = bytes_tag(PipelineRequest.COMMANDS_FIELD_NUMBER)
# Whatever can go on without time passing has gone as far as it can after so many turns.
_TURNS: Final = 30
_SECONDS_MAX: Final = 10.0
# How many calls are made beside each stream of frames.
CALLS_BESIDE: Final = 20
_FRAMES: Final = 4
_SENSIBLE_FRAMES: Final = 6
_DAMAGED_FRAMES_PART: Final = 0.1
_DAMAGED_PART: Final = 0.4
# What other commands need, several times, so that it is there under most of the few ids.
_MAKING: Final = ("create_channel", "create_pool", "create_account", "create_list")
_POSTS: Final = ("post_message", "post_reply", "add_reaction", "reserve_number")
_MAKING_TIMES: Final = 8
_COMMAND_NAMES: Final = [one.name for one in Command.DESCRIPTOR.oneofs_by_name["command"].fields]


class CallFuzzer:
    """One stretch of inputs for one service."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._chance: random.Random = run.chance
        self._maker = MessageMaker(run.chance, wildness=run.chance.choice((0.01, 0.1, 0.3)))
        self._sensible_maker = MessageMaker(run.chance, wildness=0)
        self._damager = Damager(run.chance)
        self._clock = ManualClock()
        self._store = MemoryJournalStore()
        self._service = InProcessService(self._store, self._clock)
        self._last = b""
        self._positions: set[int] = set()
        # What was acknowledged by another way than a stream of frames is not counted one by one.
        self._unary = False

    async def stretch(self, inputs: int) -> None:
        """Runs so many inputs, and compares what is there with what was acknowledged."""
        await self._frames([self._sensible() for _ in range(_SENSIBLE_FRAMES)])
        for _ in range(0, inputs, CALLS_BESIDE + _FRAMES * _FRAME_COMMANDS):
            for _ in range(CALLS_BESIDE):
                await self._one_call()
            await self._frames([self._frame() for _ in range(_FRAMES)])
        self._run.count("inputs", inputs)
        await self._compare()
        await self._service.namespaces.close()

    def _input(self, message_type: Any) -> bytes:
        """Returns a message as bytes, damaged or not."""
        data: bytes = self._maker.make(message_type).SerializeToString()
        other, self._last = self._last, data
        if self._chance.random() < _DAMAGED_PART:
            return self._damager.damage(data, other)
        return data

    def _sensible(self) -> bytes:
        """Returns a frame with a command of every kind, so that the others find something."""
        names = [*_MAKING * _MAKING_TIMES, *_COMMAND_NAMES, *_POSTS * _MAKING_TIMES]
        members = [self._sensible_maker.make_member(Command, name) for name in names]
        return PipelineRequest(commands=members).SerializeToString()

    def _frame(self) -> bytes:
        members = [self._input(Command) for _ in range(_FRAME_COMMANDS)]
        frame = b"".join(field(_MEMBER, member) for member in members)
        if self._chance.random() < _DAMAGED_FRAMES_PART:
            return self._damager.damage(frame, self._last)
        return frame

    async def _frames(self, frames: list[bytes]) -> None:
        """Sends frames of commands on one stream, which may end it."""

        async def requests() -> AsyncIterator[bytes]:
            for frame in frames:
                yield frame

        try:
            async with asyncio.timeout(_SECONDS_MAX):
                async for data in self._service.pipeline(requests()):
                    for result in PipelineResponse.FromString(data).results:
                        self._judge_result(result)
        except CallEnded as ended:
            judge_status(self._run, ended.status, "Pipeline")
        except TimeoutError:
            self._run.violation(HANGS, "Pipeline")
        except Exception as error:
            self._run.violation(FAULTS, f"Pipeline: {error!r}")

    def _judge_result(self, result: CommandResult) -> None:
        name = result.WhichOneof("result")
        if name == "error":
            judge_status(self._run, Status.FromString(result.error.status), "Pipeline")
        elif name is None:
            self._run.violation(FAULTS, f"an answer without a result: {result}")
        else:
            receipt = getattr(result, name).receipt
            self._run.count("done")
            if not receipt.replayed:
                if receipt.position in self._positions:
                    self._run.violation(CHANGED, f"position {receipt.position} was given twice")
                self._positions.add(receipt.position)

    async def _one_call(self) -> None:
        method, request_type = self._chance.choice(METHODS)
        metadata = self._metadata()
        if request_type is WatchRequest:
            await self._watched(self._service.watch(self._input(request_type), metadata))
            return
        self._unary = True
        data = self._input(request_type)
        await self._judged(method, self._service.unary(method, data, metadata))

    async def _judged(self, method: str, call: Awaitable[Any]) -> None:
        """Waits for a call; time passes where it waits for time to pass."""
        task = asyncio.ensure_future(call)
        for _ in range(10):
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if task.done():
                break
            self._clock.advance(100_000)
        done, _ = await asyncio.wait([task], timeout=_SECONDS_MAX)
        if not done:
            task.cancel()
            self._run.violation(HANGS, method)
            return
        try:
            task.result()
            self._run.count("answered")
        except CallEnded as ended:
            judge_status(self._run, ended.status, method)
        except StopAsyncIteration:
            pass
        except Exception as error:
            self._run.violation(FAULTS, f"{method}: {error!r}")

    async def _watched(self, responses: AsyncIterator[bytes]) -> None:
        """Takes what a watch gives at once."""
        task = asyncio.ensure_future(anext(responses))  # type: ignore[arg-type]  # an awaitable
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            return
        await self._judged("Watch", task)

    def _metadata(self) -> Metadata:
        chance = self._chance
        if chance.random() < 0.8:
            return ()
        key = chance.choice((NAMESPACE_KEY, CALLER_KEY, MIN_POSITION_KEY, "gapless-other"))
        value: str | bytes = chance.choice(
            ("", "other", "UPPER", "a" * 64, "../up", "-1", "1", str(2**63), "9" * 40, "\u00e9")
        )
        return ((key, value),)

    async def _compare(self) -> None:
        """The log holds what was acknowledged, and gives the state that is served."""
        for fault in self._service.faults:
            self._run.violation(FAULTS, f"a writer stopped: {fault}")
        if self._service.faults:
            return
        async with self._service.namespaces.use(NAMESPACE) as namespace:
            served = await namespace.read(lambda state: state.digest())
            recount = Recount(self._service.kernel)
            found: set[int] = set()
            async for committed in namespace.rounds_from(1):
                recount.observe(committed.record)
                stored = StoredRound.FromString(committed.record.data)
                found |= {one.entry.position for one in stored.entries if one.entry.request_id}
        if not self._positions <= found or (found != self._positions and not self._unary):
            self._run.violation(
                CHANGED,
                "positions that are not both acknowledged and in the log:"
                f" {sorted(found ^ self._positions)[:10]}",
            )
        self._run.count("entries", len(found))
        for breach in recount.finish().breaches:
            self._run.violation(STATES, breach)
        if recount.state_digest() != served:
            self._run.violation(STATES, "the state is not the one that the log gives")


def _methods() -> list[tuple[str, Any]]:
    """Returns the unary methods and Watch, each with the type of its request."""
    services = [*kind_services(KERNEL), COMMANDS, EVENTS]
    return [
        (f"{one.name}/{method.name}", GetMessageClass(method.input_type))
        for one in services
        for method in one.methods
        if method.name != "Pipeline"
    ]


METHODS: Final = _methods()
