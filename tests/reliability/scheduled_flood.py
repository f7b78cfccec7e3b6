"""A flood in an open loop: its frames are due by the clock, whatever becomes of those before."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio

from tests.reliability.flood_tally import Tally
from tests.reliability.floods import PIPELINE, Flood, FrameTemplate

# How often it looks which frames have become due.
_LOOK_SECONDS: Final = 0.005


@dataclass(frozen=True)
class Scheduled(Flood):
    """Frames that are due at a rate, each sent on the next stream that has a place for it.

    A stream has places for so many unanswered frames: more than the service holds of one, so that
    those beyond wait where the flow control of HTTP/2 lets them. A frame that is due while no
    stream has a place is pushed back, and never sent. What is still unanswered so many seconds
    after the end is given up.
    """

    commands_per_second: float = 0.0
    streams: int = 1
    frames_unanswered: int = 10
    frame_commands: int = 1000
    body_bytes: int = 100
    patience_seconds: float = 1.0

    @property
    def calls(self) -> int:
        """Its streams."""
        return self.streams

    async def send(self, channel: grpc.aio.Channel, tally: Tally, ends: float) -> None:
        """Sends what is due until then, and waits for answers as long as it has patience."""
        streams = deque(_Stream(channel, self, tally) for _ in range(self.streams))
        tasks = [asyncio.create_task(job) for stream in streams for job in stream.jobs()]
        try:
            await self._send_what_is_due(streams, tally, ends)
            await asyncio.sleep(ends + self.patience_seconds - time.monotonic())  # patience
        finally:
            for task in tasks:
                task.cancel()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
        for stream in streams:
            stream.give_up()
        errors = [error for error in failures if not isinstance(error, asyncio.CancelledError)]
        assert not errors, errors

    async def _send_what_is_due(self, streams: deque[_Stream], tally: Tally, ends: float) -> None:
        template = FrameTemplate(self.name, self.frame_commands, self.body_bytes)
        began, frames = time.monotonic(), 0
        while (now := time.monotonic()) < ends:
            for number in range(frames, int((now - began) * self._frames_per_second)):
                frames += 1
                tally.due += self.frame_commands
                stream = _next_free(streams)
                if stream is None:
                    tally.pushed_back += self.frame_commands
                else:
                    stream.put(*template.numbered(number))
            await asyncio.sleep(_LOOK_SECONDS)  # the schedule

    @property
    def _frames_per_second(self) -> float:
        return self.commands_per_second / self.frame_commands


class _Stream:
    """One stream of the flood."""

    def __init__(self, channel: grpc.aio.Channel, flood: Scheduled, tally: Tally) -> None:
        self._call: Any = channel.stream_stream(PIPELINE)(metadata=flood.metadata)
        self._commands = flood.frame_commands
        self._tally = tally
        self._to_send = asyncio.Queue[bytes]()
        self._unanswered = deque[str]()
        self.places = flood.frames_unanswered

    def put(self, frame: str, data: bytes) -> None:
        """Takes a place."""
        self.places -= 1
        self._unanswered.append(frame)
        self._to_send.put_nowait(data)

    def jobs(self) -> Iterator[Any]:
        """Yields what runs as long as the stream is open."""
        yield self._write()
        yield self._read()

    def give_up(self) -> None:
        """Ends the call; what it was not answered may have been done or not."""
        self._call.cancel()
        for frame in self._unanswered:
            self._tally.given_up[frame] = self._commands

    async def _write(self) -> None:
        while True:
            await self._call.write(await self._to_send.get())

    async def _read(self) -> None:
        while (data := await self._call.read()) is not grpc.aio.EOF:
            self._tally.note_answer(self._unanswered.popleft(), data, self._commands)
            self.places += 1
        raise EOFError("the service ended the stream")


def _next_free(streams: deque[_Stream]) -> _Stream | None:
    """Returns the next stream that has a place, in turn."""
    for _ in range(len(streams)):
        streams.rotate(-1)
        if streams[-1].places:
            return streams[-1]
    return None
