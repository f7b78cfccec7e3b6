"""One process of a load: a closed loop, each caller sending its next post when it has an answer.

Every caller is stopped by the clock, and what is then in flight is waited for: its sequences are
in the check, not in the figures.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from gapless import new_request_id
from gapless_server.load.driver import AsyncDriver, BlockingDriver, Post
from gapless_server.load.plan import BODY_BYTES, Load
from gapless_server.load.tally import Tally, check_repeat

# How many of a process's last posts are repeated after the measured time.
REPEATS = 20

# A post of a tuple with its fields, at half of what calling the class costs.
_new_post: Final = partial(tuple.__new__, Post)


class Window:
    """The measured time, and the posts that were answered in it."""

    def __init__(self, load: Load, seed: int) -> None:
        self._channel_ids = load.channel_ids()
        self._load = load
        self._random = random.Random(seed)  # noqa: S311 - which channel is next
        self._body = bytes(range(32, 32 + BODY_BYTES // 2)) * 2
        self.tally = Tally()
        # The last posts of this window and their sequences.
        self.recent: deque[tuple[Post, int]] = deque(maxlen=REPEATS)
        self.begin = self.end = 0.0

    def start(self) -> None:
        """The callers begin now; the figures count from the end of the warm-up."""
        self.begin = time.perf_counter() + self._load.warm_up_seconds
        self.end = self.begin + self._load.seconds
        self.tally.seconds = self._load.seconds

    def next_post(self) -> tuple[int, Post]:
        """A post to a channel at random."""
        channels = self._load.channels
        channel = 0 if channels == 1 else self._random.randrange(channels)
        return channel, _new_post((self._channel_ids[channel], new_request_id(), self._body))

    def counter(self) -> Callable[[int, Post, int, float, float], None]:
        """Counts the answer of a call with one post; made once, as it is called for every one."""
        tally = self.tally
        note_channel = tally.channels.append
        note_sequence = tally.sequences.append
        note_latency = tally.latencies_seconds.append
        note_recent = self.recent.append
        begin, end = self.begin, self.end

        def count(channel: int, post: Post, sequence: int, sent: float, now: float) -> None:
            note_channel(channel)
            note_sequence(sequence)
            if begin <= now < end:
                note_latency(now - sent)
            note_recent((post, sequence))

        return count

    def finish(self) -> Tally:
        """What came of it."""
        if not self._load.frame_posts:
            self.tally.posts = len(self.tally.latencies_seconds)
        return self.tally

    def frame_answered(
        self,
        channels: Sequence[int],
        posts: Sequence[Post],
        sequences: Sequence[int],
        sent: float,
        now: float,
    ) -> None:
        """Counts the answer of a call with a frame."""
        tally = self.tally
        tally.channels.extend(channels)
        tally.sequences.extend(sequences)
        if self.begin <= now < self.end:
            tally.posts += len(posts)
            tally.latencies_seconds.append(now - sent)
        self.recent.append((posts[0], sequences[0]))


async def run_async(
    driver: AsyncDriver, load: Load, seed: int, begin_together: Callable[[], None]
) -> Tally:
    """Runs this process's part of a load on this event loop."""
    window = Window(load, seed)
    await driver.open()
    try:
        begin_together()
        window.start()
        caller = _frames if load.frame_posts else _posts
        await asyncio.gather(*(caller(driver, load, window) for _ in range(load.in_flight)))
        for post, sequence in window.recent:
            check_repeat(window.tally, post, sequence, await driver.post(post))
    finally:
        await driver.close()
    return window.finish()


async def _posts(driver: AsyncDriver, _load: Load, window: Window) -> None:
    clock = time.perf_counter
    count = window.counter()
    sent = clock()
    while sent < window.end:
        channel, post = window.next_post()
        sequence = await driver.post(post)
        now = clock()
        count(channel, post, sequence, sent, now)
        # The making of the next post counts as a part of its latency, which saves a look at the
        # clock, and hides nothing.
        sent = now


async def _frames(driver: AsyncDriver, load: Load, window: Window) -> None:
    clock = time.perf_counter
    now = clock()
    while now < window.end:
        channels, posts = zip(*(window.next_post() for _ in range(load.frame_posts)), strict=True)
        sent = clock()
        sequences = await driver.post_frame(posts)
        now = clock()
        window.frame_answered(channels, posts, sequences, sent, now)


def run_blocking(
    driver: BlockingDriver, load: Load, seed: int, begin_together: Callable[[], None]
) -> Tally:
    """Runs this process's part of a load, with a thread a caller."""
    driver.open()
    windows = [Window(load, seed * 10_000 + number) for number in range(load.in_flight)]
    failures: list[BaseException] = []

    def call(window: Window) -> None:
        try:
            _call_until_end(driver, load, window)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(window,)) for window in windows]
    try:
        begin_together()
        for window in windows:
            window.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        tally = _merged(windows, load)
        for post, sequence in windows[0].recent:
            check_repeat(tally, post, sequence, driver.post(post))
    finally:
        driver.close()
    return tally


def _call_until_end(driver: BlockingDriver, load: Load, window: Window) -> None:
    clock = time.perf_counter
    count = window.counter()
    now = clock()
    while now < window.end:
        if load.frame_posts:
            pairs = [window.next_post() for _ in range(load.frame_posts)]
            channels, posts = zip(*pairs, strict=True)
            sent = clock()
            sequences = driver.post_frame(posts)
            now = clock()
            window.frame_answered(channels, posts, sequences, sent, now)
        else:
            channel, post = window.next_post()
            sent = clock()
            sequence = driver.post(post)
            now = clock()
            count(channel, post, sequence, sent, now)


def _merged(windows: Sequence[Window], load: Load) -> Tally:
    tally = Tally(seconds=load.seconds)
    for window in windows:
        tally.posts += window.finish().posts
        tally.latencies_seconds.extend(window.tally.latencies_seconds)
        tally.channels.extend(window.tally.channels)
        tally.sequences.extend(window.tally.sequences)
    return tally


def is_async(driver: Any) -> bool:
    """Whether a driver runs on an event loop."""
    return asyncio.iscoroutinefunction(driver.post)
