"""One log, written from the same frames the compiled way and the plain way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from google.protobuf.message import Message

from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import EMPTY_HEAD, Head, Round
from gapless_server.rpc.commands import response_of
from gapless_server.rpc.frames import FrameTaker, call_taker
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.breath import Breath, Sharing
from gapless_server.writer.clock import LogTime
from gapless_server.writer.deciding import RoundDecider
from gapless_server.writer.entries import Answers
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.lines import Lines
from gapless_server.writer.queue import Frame
from gapless_server.writer.requests import RequestIndex
from gapless_server.writer.rounds import RoundBuilder

START_TIME_US = 1_790_000_000_000_000
FRAME_COMMANDS_MAX = 10_000


@cache
def _kernel(*, compiled: bool) -> Kernel:
    return Kernel(KINDS, compiled=compiled)


@dataclass
class Log:
    """What the frames led to, one way."""

    compiled: bool
    rounds: list[Round] = field(default_factory=list)
    answers: list[bytes | str] = field(default_factory=list)
    # How many commands were decided in runs.
    in_runs: int = 0

    def __post_init__(self) -> None:
        self.kernel = _kernel(compiled=self.compiled)
        self.taker = FrameTaker(self.kernel, FRAME_COMMANDS_MAX)
        self.state = self.kernel.new_state()
        self.requests = RequestIndex()
        self.head: Head = EMPTY_HEAD
        self.entries: dict[int, StoredEntry] = {}

    async def run(
        self, *frames: bytes, caller: str = "", limits: WriterLimits | None = None
    ) -> None:
        """Decides frames as one round."""
        taken = []
        for data in frames:
            try:
                taken.append(self.taker.frame(data, caller))
            except Refused as refusal:
                self.answers.append(str(refusal))
        await self._decide(taken, limits or WriterLimits())

    async def call(self, *requests: PostMessageRequest, caller: str = "") -> None:
        """Decides calls of one post each as one round."""
        take = call_taker(self.kernel, PostMessageRequest, "post_message")
        await self._decide(
            [take(one.SerializeToString(), caller) for one in requests], WriterLimits()
        )

    def builder(self) -> RoundBuilder:
        """Returns what builds the next round."""
        number = len(self.rounds) + 1
        time = LogTime(START_TIME_US + 1_000_003 * number, 1_000_003 * number)
        return RoundBuilder(
            self.kernel,
            self.state,
            self.requests,
            self.head,
            time,
            f"{number:x}seed-",
            self.entries.get,
        )

    async def _decide(self, frames: list[Frame], limits: WriterLimits) -> None:
        builder = self.builder()
        decider = RoundDecider(
            builder, Lines("test", limits), self._no_round, {}, limits, Breath(Sharing())
        )
        left = await decider.decide(frames)
        assert not left
        if (record := builder.seal()) is not None:
            self.rounds.append(record)
            self.head = Head(record.last_position, record.chain_hash)
            stored = StoredRound.FromString(record.data).entries
            self.entries |= {one.entry.position: one for one in stored}
        for _frame, outcomes in decider.decided:
            self.answers.append(await response_of(outcomes))
            self.in_runs += sum(one.count for one in outcomes if isinstance(one, Answers))

    async def _no_round(self, position: int) -> dict[int, StoredEntry]:
        raise LookupError(f"position {position} is in memory")

    def index(self) -> list[tuple[int, int]]:
        """Returns what the request index has, in the order of the hashes."""
        return sorted(self.requests.pairs())


async def written(
    *rounds: Sequence[bytes], caller: str = "", limits: WriterLimits | None = None
) -> tuple[Log, Log]:
    """Returns the logs of the same rounds of frames: compiled, and plain."""
    logs = Log(compiled=True), Log(compiled=False)
    for log in logs:
        for frames in rounds:
            await log.run(*frames, caller=caller, limits=limits)
    return logs


def assert_same(compiled: Log, plain: Log) -> None:
    """Holds that both ways came to the same, byte for byte."""
    assert plain.in_runs == 0
    assert compiled.answers == plain.answers
    assert compiled.rounds == plain.rounds
    assert compiled.index() == plain.index()
    assert list(compiled.requests.take_unsaved().pairs) == list(plain.requests.take_unsaved().pairs)
    assert compiled.state.digest() == plain.state.digest()


def frame_of(*commands: Message | bytes) -> bytes:
    """Returns a frame of commands, some of them as bytes."""
    parts = []
    for command in commands:
        if isinstance(command, bytes):
            parts.append(_field(command))
        else:
            parts.append(PipelineRequest(commands=[_wrapped(command)]).SerializeToString())
    return b"".join(parts)


def _wrapped(command: Message) -> Command:
    if isinstance(command, Command):
        return command
    [name] = [
        one.name for one in Command.DESCRIPTOR.fields if one.message_type is command.DESCRIPTOR
    ]
    return Command(**{name: command})  # type: ignore[arg-type]  # whichever it is


def _field(data: bytes) -> bytes:
    from gapless_server.core.wire import bytes_tag, field

    return field(bytes_tag(PipelineRequest.COMMANDS_FIELD_NUMBER), data)
