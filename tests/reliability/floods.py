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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
import grpc.aio

from gapless.metadata import call_metadata
from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from tests.reliability.flood_tally import Tally
from tests.scenarios.processes import Place

CHANNELS: Final = ("red", "green", "blue")
PIPELINE: Final = "/gapless.v1.CommandService/Pipeline"
POST: Final = "/gapless.v1.MessageService/PostMessage"
# A hang must end the test; a queue that is full is not one.
SECONDS_MAX: Final = 300.0

_FRAME_DIGITS: Final = 8
_MARK: Final = "#" * _FRAME_DIGITS
_OPTIONS: Final = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Each process has connections of its own.
    ("grpc.use_local_subchannel_pool", 1),
]

_context = multiprocessing.get_context("forkserver")


class FrameTemplate:
    """A frame of posts that is made once, and is then numbered as often as it is sent."""

    def __init__(self, name: str, commands: int, body_bytes: int) -> None:
        self._name = name
        body = Body(data=bytes(body_bytes))
        posts = (
            PostMessageRequest(
                request_id=f"{name}.{_MARK}.{index}",
                channel_id=CHANNELS[index % len(CHANNELS)],
                sender_id="flood",
                body=body,
            )
            for index in range(commands)
        )
        frame = PipelineRequest(commands=[Command(post_message=post) for post in posts])
        self._data = frame.SerializeToString()

    def numbered(self, number: int) -> tuple[str, bytes]:
        """Returns the name of a frame, which its request ids begin with, and the frame."""
        digits = f"{number:0{_FRAME_DIGITS}}"
        return f"{self._name}.{digits}", self._data.replace(_MARK.encode(), digits.encode())


@dataclass(frozen=True)
class Flood(ABC):
    """One process of floods; `name` makes its request ids its own.

    It begins at a time of the machine's clock, or at once if that is over.
    """

    name: str
    place: Place
    seconds: float
    begins: float = 0.0

    async def run(self) -> Tally:
        """Sends until the time is over; returns once all is answered."""
        tally = Tally()
        await asyncio.sleep(self.begins - time.monotonic())  # all of them begin together
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
    """Streams on which so many frames are kept unanswered.

    A patient one comes again only after the delay that it was told.
    """

    streams: int = 1
    frames_unanswered: int = 2
    frame_commands: int = 200
    body_bytes: int = 100
    patient: bool = False

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
        template = FrameTemplate(name, self.frame_commands, self.body_bytes)
        call: Any = channel.stream_stream(PIPELINE)(metadata=self.metadata)
        places = asyncio.Semaphore(self.frames_unanswered)
        sent: list[str] = []

        async def write() -> None:
            while time.monotonic() < ends:
                await places.acquire()
                frame, data = template.numbered(len(sent))
                sent.append(frame)
                await call.write(data)
            await call.done_writing()

        writing = asyncio.create_task(write())
        answers = 0
        try:
            while (data := await call.read()) is not grpc.aio.EOF:
                delay_seconds = tally.note_answer(sent[answers], data, self.frame_commands)
                answers += 1
                if self.patient:
                    await asyncio.sleep(delay_seconds)  # as it was told
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
            tally.note_answer(frame, await call.read(), 1)
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
