"""Client processes that send more than the service can do, and never back off.

Each keeps as much unanswered as it may, for as long as it is told, and drops what is refused. Then
it waits for the answers that are still to come, so that it knows what became of every command.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
import grpc.aio

from gapless.metadata import call_metadata
from gapless.v1.commands_pb2 import Command, PipelineRequest, PipelineResponse
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from tests.rpc.wire import DETAILS_KEY, seen, status_pb2
from tests.scenarios.processes import Place

CHANNELS: Final = ("red", "green", "blue")
PIPELINE: Final = "/gapless.v1.CommandService/Pipeline"
POST: Final = "/gapless.v1.MessageService/PostMessage"
# A hang must end the test; a queue that is full is not one.
SECONDS_MAX: Final = 300.0

# What gRPC's client says, and nothing else, if a stream is refused while it writes to it.
_HIDDEN: Final = "Internal error from Core"

_FRAME_DIGITS: Final = 8
_MARK: Final = "#" * _FRAME_DIGITS
_OPTIONS: Final = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Each process has connections of its own.
    ("grpc.use_local_subchannel_pool", 1),
]

_context = multiprocessing.get_context("forkserver")


@dataclass
class Tally:
    """What a flood was told."""

    # By frame: for each of its commands 1 if it was acknowledged and 0 if it was refused.
    answered: dict[str, bytes] = field(default_factory=dict)
    # By code, reason, and whether the refusal says when to come again.
    refusals: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    # Refusals that gRPC's client hid.
    hidden: int = 0
    # Commands acknowledged in each second, by the second of the machine's clock.
    seconds: Counter[int] = field(default_factory=Counter)

    def note(self, frame: str, answered: bytes) -> None:
        """Takes what became of the commands of a frame."""
        self.answered[frame] = answered
        self.seconds[int(time.monotonic())] += sum(answered)

    def refuse_call(self, error: grpc.aio.AioRpcError) -> None:
        """Takes why a call was refused."""
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        if isinstance(details, bytes):
            self.refuse(status_pb2.Status.FromString(details))
        elif _HIDDEN in str(error.details()):
            self.hidden += 1
        else:
            self.refusals[error.code().name, "", False] += 1

    def refuse(self, status: status_pb2.Status, number: int = 1) -> None:
        """Takes why commands were refused."""
        refusal = seen(status)
        key = (refusal.code.name, refusal.reason, refusal.retry_seconds is not None)
        self.refusals[key] += number


@dataclass(frozen=True)
class Flood(ABC):
    """One process of floods; `name` makes its request ids its own."""

    name: str
    place: Place
    seconds: float

    async def run(self) -> Tally:
        """Sends until the time is over; returns once all is answered."""
        tally = Tally()
        ends = time.monotonic() + self.seconds
        async with asyncio.timeout(self.seconds + SECONDS_MAX):
            async with grpc.aio.insecure_channel(self.place.address, options=_OPTIONS) as channel:
                await self.send(channel, tally, ends)
        return tally

    @abstractmethod
    async def send(self, channel: grpc.aio.Channel, tally: Tally, ends: float) -> None:
        """Sends until a time of the machine's clock, and waits for what is unanswered."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """How many calls and streams it has open at a time."""

    @property
    def metadata(self) -> Any:
        """That of every call."""
        return call_metadata(namespace=self.place.namespace)


class _TurnedAway(Exception):
    """A stream was refused before a frame of it was answered."""

    def __init__(self, cause: grpc.aio.AioRpcError) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Frames(Flood):
    """Streams on which so many frames are kept unanswered."""

    streams: int = 1
    frames_unanswered: int = 2
    frame_commands: int = 200
    body_bytes: int = 100

    @property
    def calls(self) -> int:
        """Its streams."""
        return self.streams

    async def send(self, channel: grpc.aio.Channel, tally: Tally, ends: float) -> None:
        """Fills every stream; one that is turned away is opened again at once."""

        async def keep_open(number: int) -> None:
            turned_away = 0
            while time.monotonic() < ends:
                name = f"{self.name}.{number}.{turned_away}"
                try:
                    await self._fill(channel, tally, ends, name)
                except _TurnedAway as error:
                    tally.refuse_call(error.cause)
                    turned_away += 1

        await asyncio.gather(*map(keep_open, range(self.streams)))

    async def _fill(self, channel: grpc.aio.Channel, tally: Tally, ends: float, name: str) -> None:
        template = self._template(name)
        call: Any = channel.stream_stream(PIPELINE)(metadata=self.metadata)
        places = asyncio.Semaphore(self.frames_unanswered)
        sent: list[str] = []

        async def write() -> None:
            while time.monotonic() < ends:
                await places.acquire()
                number = f"{len(sent):0{_FRAME_DIGITS}}"
                sent.append(f"{name}.{number}")
                await call.write(template.replace(_MARK.encode(), number.encode()))
            await call.done_writing()

        writing = asyncio.create_task(write())
        answers = 0
        try:
            while (data := await call.read()) is not grpc.aio.EOF:
                tally.note(sent[answers], _answered(data, tally))
                answers += 1
                places.release()
        except grpc.aio.AioRpcError as error:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            if answers:
                raise
            for frame in sent:
                tally.note(frame, bytes(self.frame_commands))
            raise _TurnedAway(error) from error
        await writing
        if answers != len(sent):
            raise AssertionError(f"stream {name}: {len(sent)} frames, {answers} answers")

    def _template(self, name: str) -> bytes:
        """A frame in which the number of the frame is still to be put; it is as long as that."""
        body = Body(data=bytes(self.body_bytes))
        posts = (
            PostMessageRequest(
                request_id=f"{name}.{_MARK}.{index}",
                channel_id=CHANNELS[index % len(CHANNELS)],
                sender_id="flood",
                body=body,
            )
            for index in range(self.frame_commands)
        )
        commands = [Command(post_message=post) for post in posts]
        return PipelineRequest(commands=commands).SerializeToString()


def _answered(data: bytes, tally: Tally) -> bytes:
    """Returns which commands of a frame were acknowledged; tallies why others were refused."""
    results = PipelineResponse.FromString(data).results
    refused = Counter(result.error.status for result in results if result.HasField("error"))
    for status, number in refused.items():
        tally.refuse(status_pb2.Status.FromString(status), number)
    return bytes(not result.HasField("error") for result in results)


@dataclass(frozen=True)
class Unary(Flood):
    """Calls of one command each, so many of them unanswered."""

    calls_unanswered: int = 100

    @property
    def calls(self) -> int:
        """Those that are unanswered."""
        return self.calls_unanswered

    async def send(self, channel: grpc.aio.Channel, tally: Tally, ends: float) -> None:
        """Calls again at once, whatever the answer."""
        post: Any = channel.unary_unary(POST)
        tasks = (self._call(post, tally, ends, number) for number in range(self.calls_unanswered))
        await asyncio.gather(*tasks)

    async def _call(self, post: Any, tally: Tally, ends: float, caller: int) -> None:
        number = 0
        while time.monotonic() < ends:
            frame = f"{self.name}.{caller}.{number:0{_FRAME_DIGITS}}"
            number += 1
            request = PostMessageRequest(
                request_id=f"{frame}.0", channel_id=CHANNELS[0], sender_id="flood"
            )
            try:
                await post(request.SerializeToString(), metadata=self.metadata)
                tally.note(frame, b"\1")
            except grpc.aio.AioRpcError as error:
                tally.note(frame, b"\0")
                tally.refuse_call(error)


@dataclass(frozen=True)
class Streams(Flood):
    """Streams that are opened for one frame each, so many of them at a time."""

    streams: int = 100

    @property
    def calls(self) -> int:
        """Its streams."""
        return self.streams

    async def send(self, channel: grpc.aio.Channel, tally: Tally, ends: float) -> None:
        """Opens the next streams once these are answered, while all of them are still open."""
        pipeline: Any = channel.stream_stream(PIPELINE)
        first = 0
        while time.monotonic() < ends:
            calls = [pipeline(metadata=self.metadata) for _ in range(self.streams)]
            names = [f"{self.name}.{first + index:0{_FRAME_DIGITS}}" for index in range(len(calls))]
            first += len(calls)
            await asyncio.gather(*map(self._ask, calls, names, [tally] * len(calls)))
            await asyncio.gather(*map(self._end, calls))

    async def _end(self, call: Any) -> None:
        if not call.done():
            await call.done_writing()
        await call.code()

    async def _ask(self, call: Any, frame: str, tally: Tally) -> None:
        request = PostMessageRequest(
            request_id=f"{frame}.0", channel_id=CHANNELS[0], sender_id="flood"
        )
        commands = PipelineRequest(commands=[Command(post_message=request)])
        try:
            await call.write(commands.SerializeToString())
            tally.note(frame, _answered(await call.read(), tally))
        except grpc.aio.AioRpcError as error:
            tally.note(frame, b"\0")
            tally.refuse_call(error)


class Running:
    """Floods under way."""

    def __init__(self, processes: Sequence[tuple[Any, Connection]]) -> None:
        self._processes = processes

    async def tallies(self) -> list[Tally]:
        """Returns what each was told, once all have ended. Raises AssertionError."""
        homes = [home for _process, home in self._processes]
        words = await asyncio.gather(*(asyncio.to_thread(home.recv) for home in homes))
        failures = [word for word in words if not isinstance(word, Tally)]
        assert not failures, failures
        return words


@contextmanager
def flooding(*floods: Flood) -> Iterator[Running]:
    """Runs each flood in a process of its own; none is left running behind it."""
    running = []
    try:
        for flood in floods:
            home, away = _context.Pipe(duplex=False)
            process = _context.Process(target=_run, args=(away, flood))
            process.start()
            away.close()
            running.append((process, home))
        yield Running(running)
    finally:
        for process, home in running:
            home.close()
            process.kill()
            process.join()
            process.close()


def _run(away: Connection, flood: Flood) -> None:
    """Runs in the process."""
    try:
        away.send(asyncio.run(flood.run()))
    except BaseException:
        away.send(traceback.format_exc())
