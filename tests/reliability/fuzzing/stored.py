"""Fuzzes what is stored: rounds that are damaged, or that were written by somebody who means harm.

A log whose chain does not fit is never served. One whose chain fits, since it was made to, but
whose content makes no sense is refused at its start or served, and then answers like any other.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from google.protobuf.message import Message

from gapless.v1.channels_pb2 import GetChannelRequest
from gapless.v1.commands_pb2 import Command, PipelineRequest, PipelineResponse
from gapless.v1.events_pb2 import Event
from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.journal.port import Round
from gapless_server.storage.v1.storage_pb2 import StoredRound
from tests.reliability.fuzzing.damage import Damager
from tests.reliability.fuzzing.messages import MessageMaker
from tests.reliability.fuzzing.verdicts import judge_start, judge_status
from tests.reliability.harness import Run
from tests.rpc.in_process import NAMESPACE, CallEnded, InProcessService
from tests.verify.logs import chained

# After so many starts another log is made.
STRETCH: Final = 200
_FRAMES: Final = 3
_COMMANDS_AFTER: Final = 10
_NAMES: Final = [one.name for one in Command.DESCRIPTOR.oneofs_by_name["command"].fields]
_SECONDS_MAX: Final = 20.0
_EXTREME: Final = (-(2**63), -1, 0, 1, 2**31, 2**62, 2**63 - 1)


class LogFuzzer:
    """Starts of one log, changed each time in another way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._chance: random.Random = run.chance
        self._maker = MessageMaker(run.chance, wildness=0)
        self._wild_maker = MessageMaker(run.chance, wildness=0.2)
        self._damager = Damager(run.chance)
        self._rounds: list[Round] = []

    async def stretch(self, starts: int) -> None:
        """Makes a log, and starts it so many times."""
        await self._make_log()
        for _ in range(starts):
            rounds, fits = self._changed()
            await self._start(rounds, chain_fits=fits)
        self._run.count("starts", starts)

    async def _make_log(self) -> None:
        """A log of commands of every kind, in several rounds."""
        service = InProcessService()
        for _ in range(_FRAMES):
            members = [self._maker.make_member(Command, name) for name in _NAMES]
            await _answers(service, members)
        async with service.namespaces.use(NAMESPACE) as namespace:
            self._rounds = [committed.record async for committed in namespace.rounds_from(1)]
        await service.namespaces.close()

    def _changed(self) -> tuple[list[Round], bool]:
        """Returns the rounds with one changed, and whether the chain was made to fit."""
        rounds = list(self._rounds)
        index = self._chance.randrange(len(rounds))
        old = rounds[index]
        other = self._chance.choice(rounds).data
        if self._chance.random() < 0.3:
            data = self._damager.damage(old.data, other)
        else:
            data = self._without_sense(old.data)
        rounds[index] = old._replace(data=data)
        if self._chance.random() < 0.2 and data != old.data:
            return rounds, False
        return chained(rounds), True

    def _without_sense(self, data: bytes) -> bytes:
        """Returns a round whose content could never have been written."""
        stored = StoredRound.FromString(data)
        for _ in range(self._chance.choice((1, 1, 2, 5))):
            self._chance.choice(_WAYS)(self, stored)
        return stored.SerializeToString()

    def _other_event(self, stored: StoredRound) -> None:
        entry = self._chance.choice(stored.entries).entry
        made = self._wild_maker.make(Event)
        if entry.events and self._chance.random() < 0.5:
            self._chance.choice(entry.events).CopyFrom(made)
        else:
            entry.events.append(made)

    def _other_value(self, stored: StoredRound) -> None:
        """Changes one field, anywhere."""
        message: Message = self._chance.choice(stored.entries)
        while True:
            present = message.ListFields()
            if not present:
                return
            found, value = self._chance.choice(present)
            if found.message_type is None:
                message.ClearField(found.name)
                if not found.is_repeated and self._chance.random() < 0.8:
                    self._wild_maker.set_field(message, found)
                return
            if found.message_type.GetOptions().map_entry:
                return
            message = self._chance.choice(value) if found.is_repeated else value

    def _other_times(self, stored: StoredRound) -> None:
        time = self._chance.choice(stored.entries).entry.commit_time
        time.seconds = self._chance.choice(_EXTREME)
        time.nanos = self._chance.choice((-1, 0, 2**31 - 1))

    def _other_uptime(self, stored: StoredRound) -> None:
        stored.uptime_us = self._chance.choice(_EXTREME)

    def _other_position(self, stored: StoredRound) -> None:
        self._chance.choice(stored.entries).entry.position = self._chance.choice(_EXTREME)

    def _fewer_entries(self, stored: StoredRound) -> None:
        del stored.entries[self._chance.randrange(len(stored.entries))]

    def _entry_twice(self, stored: StoredRound) -> None:
        stored.entries.append(self._chance.choice(stored.entries))

    def _no_answer(self, stored: StoredRound) -> None:
        self._chance.choice(stored.entries).ClearField("answer")

    def _rewritten(self, stored: StoredRound) -> None:
        stored.rewritten.add(first_position=self._chance.choice(_EXTREME), data_digest=b"x")

    async def _start(self, rounds: list[Round], *, chain_fits: bool) -> None:
        store = MemoryJournalStore()
        journal = await store.open(NAMESPACE)
        journal._log.rounds = rounds
        await journal.close()
        service = InProcessService(store)
        async with asyncio.timeout(_SECONDS_MAX):
            request = GetChannelRequest(channel_id="a").SerializeToString()
            served = await judge_start(
                self._run, service.unary("ChannelService/GetChannel", request), chain_fits
            )
            if served:
                await self._use(service)
            await service.namespaces.close()

    async def _use(self, service: InProcessService) -> None:
        """What is served answers in documented words, or the service ends."""
        names = self._chance.sample(_NAMES, _COMMANDS_AFTER)
        members = [self._maker.make_member(Command, name) for name in names]
        for member in members:
            name = str(member.WhichOneof("command"))
            getattr(member, name).request_id += " after"
        try:
            await _answers(service, members)
            self._run.count("served")
        except CallEnded as ended:
            judge_status(self._run, ended.status, "a served log", may_stop=True)


_WAYS: Final[tuple[Any, ...]] = (
    LogFuzzer._other_event,
    LogFuzzer._other_event,
    LogFuzzer._other_value,
    LogFuzzer._other_value,
    LogFuzzer._other_times,
    LogFuzzer._other_uptime,
    LogFuzzer._other_position,
    LogFuzzer._fewer_entries,
    LogFuzzer._entry_twice,
    LogFuzzer._no_answer,
    LogFuzzer._rewritten,
)


async def _answers(service: InProcessService, commands: list[Command]) -> list[PipelineResponse]:
    """Runs a frame of commands."""

    async def frames() -> Any:
        yield PipelineRequest(commands=commands).SerializeToString()

    return [PipelineResponse.FromString(data) async for data in service.pipeline(frames())]
