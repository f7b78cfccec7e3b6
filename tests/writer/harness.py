"""A namespace without a service around it, and journals that a test can hold open or let fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.commands_pb2 import Command, CommandResult
from gapless.v1.common_pb2 import Body, Receipt
from gapless.v1.events_pb2 import Entry
from gapless.v1.memberships_pb2 import JoinChannelRequest, LeaveChannelRequest
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.kinds.channels import head_sequence
from gapless_server.core.refusals import Refused
from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.journal.port import Head, Journal, JournalStore, OutcomeUnknown, Round
from gapless_server.writer.clock import Clock, LogClock, ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.queue import Frame
from gapless_server.writer.rounds import Outcome

KERNEL = Kernel(KINDS)
GENERAL = "general"

# How often a test gives way so that everything that can run has run: more than any chain of
# tasks and futures here is long.
TURNS = 50


async def settle() -> None:
    """Returns once whatever can go on without the test has gone as far as it can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def create(request_id: str = "create", channel_id: str = GENERAL) -> Command:
    request = CreateChannelRequest(request_id=request_id, channel_id=channel_id)
    return Command(create_channel=request)


def post(request_id: str, text: str = "hello", channel_id: str = GENERAL) -> Command:
    request = PostMessageRequest(
        request_id=request_id,
        channel_id=channel_id,
        sender_id="ann",
        body=Body(data=text.encode()),
    )
    return Command(post_message=request)


def join(request_id: str, *, fail_if_unchanged: bool = False) -> Command:
    request = JoinChannelRequest(
        request_id=request_id,
        channel_id=GENERAL,
        user_id="ann",
        fail_if_unchanged=fail_if_unchanged,
    )
    return Command(join_channel=request)


def leave(request_id: str) -> Command:
    request = LeaveChannelRequest(request_id=request_id, channel_id=GENERAL, user_id="ann")
    return Command(leave_channel=request)


def frame_of(*commands: Command | Refused, caller: str = "") -> Frame:
    size_bytes = sum(command.ByteSize() for command in commands if isinstance(command, Command))
    return Frame(list(commands), caller, size_bytes)


def result(outcome: Outcome) -> CommandResult:
    """Returns the answer of a command that must have succeeded."""
    assert not isinstance(outcome, Refused), outcome
    return CommandResult.FromString(outcome.result())


def receipt(outcome: Outcome) -> Receipt:
    answer = result(outcome)
    name = answer.WhichOneof("result")
    assert name is not None
    found: Receipt = getattr(answer, name).receipt
    return found


def sequence(outcome: Outcome) -> int:
    """Returns the sequence that a post got."""
    return result(outcome).post_message.sequence


def reason(outcome: Outcome) -> str:
    """Returns why a command was refused, which it must have been."""
    assert isinstance(outcome, Refused), outcome
    return outcome.row.reason


async def open_namespace(
    journal: Journal,
    *,
    clock: Clock | None = None,
    limits: WriterLimits | None = None,
    kernel: Kernel = KERNEL,
    on_fatal: Callable[[str, BaseException], None] = lambda *_: None,
) -> Namespace:
    return await Namespace.open(
        "test",
        kernel,
        journal,
        LogClock(clock or ManualClock()),
        limits or WriterLimits(),
        on_fatal,
    )


async def memory_journal() -> Journal:
    return await MemoryJournalStore().open("test")


async def run(namespace: Namespace, *commands: Command, caller: str = "") -> Sequence[Outcome]:
    """Runs one frame and returns its outcomes."""
    frame = frame_of(*commands, caller=caller)
    namespace.submit(frame)
    return await frame.outcomes


async def entries(namespace: Namespace, from_position: int = 1) -> list[Entry]:
    """Returns the entries that a reader of the log is given."""
    return [
        stored.entry
        async for committed in namespace.rounds_from(from_position)
        for stored in committed.entries
        if stored.entry.position >= from_position
    ]


async def channel_head(namespace: Namespace) -> int:
    """Reads the head sequence of the channel."""
    return await namespace.read(lambda state: head_sequence(state, GENERAL))


class WrappedJournal:
    """A journal that does as another one does; the base of those that do not quite."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.appended: list[Round] = []

    @property
    def incarnation(self) -> str:
        return self._journal.incarnation

    @property
    def head(self) -> Head:
        return self._journal.head

    async def append(self, record: Round) -> None:
        await self._journal.append(record)
        self.appended.append(record)

    @property
    def erasure_pending(self) -> bool:
        return self._journal.erasure_pending

    async def append_rewriting(self, record: Round, rewritten: AsyncIterator[Round]) -> None:
        await self._journal.append_rewriting(record, rewritten)
        self.appended.append(record)

    async def scrub(self) -> bool:
        return await self._journal.scrub()

    async def end_erasure(self, position: int) -> None:
        await self._journal.end_erasure(position)

    def has_room(self) -> bool:
        return self._journal.has_room()

    def read(self, from_position: int) -> AsyncIterator[Round]:
        return self._journal.read(from_position)

    async def close(self) -> None:
        await self._journal.close()


class HeldJournal(WrappedJournal):
    """A journal whose appends wait while it is held: the moment of the fsync, made long."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.entered = asyncio.Event()
        self._released = asyncio.Event()
        self._released.set()

    def hold(self) -> None:
        """Lets the next append wait for `release`."""
        self.entered.clear()
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def append(self, record: Round) -> None:
        self.entered.set()
        await self._released.wait()
        await super().append(record)


class FailingJournal(HeldJournal):
    """A journal on a disk that fails from the moment that the test says."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.fails = False

    async def append(self, record: Round) -> None:
        if not self.fails:
            await super().append(record)
            return
        self.entered.set()
        await self._released.wait()
        raise OutcomeUnknown("the disk is gone")


class OneJournalStore(MemoryJournalStore):
    """A store whose logs are wrapped by the test."""

    def __init__(self, wrap: Callable[[Journal], Journal]) -> None:
        super().__init__()
        self._wrap = wrap

    async def open(self, namespace: str) -> Journal:  # type: ignore[override]  # wrapped
        return self._wrap(await super().open(namespace))


def store_of(wrap: Callable[[Journal], Journal]) -> JournalStore:
    return OneJournalStore(wrap)
