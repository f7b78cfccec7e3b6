"""Kills a service with SIGKILL, at moments that are hard for it, and starts it again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from gapless import Client, Entry, GaplessError
from gapless.testing import RunningServer, ServerError
from tests.reliability.forked_service import ForkedService

# A kill comes within so many seconds of the moment that it is about.
MOMENT_SECONDS_MAX: Final = 0.1
# A start takes about so long; a kill during one comes within that time.
START_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 0.001
_LOOKS_MAX: Final = 1000


def wait_a_moment(chance: Random, seconds_max: float = MOMENT_SECONDS_MAX) -> None:
    """Not to wait for something: to come at any moment, in a commit or between two."""
    threading.Event().wait(chance.uniform(0, seconds_max))


class Killer:
    """Kills one service again and again. Every way of it ends with the service running."""

    def __init__(self, server: ForkedService, client: Client, namespace: str, chance: Random):
        self._server = server
        self._client = client
        self._checkpoint = Path(server.directory, "data", "namespaces", f"{namespace}.state-wal")
        self._chance = chance
        self.ways: dict[str, Callable[[], None]] = {
            "at_work": self._at_work,
            "at_start": self._at_start,
            "two_in_a_row": self._two_in_a_row,
            "in_checkpoint": self._in_checkpoint,
            "in_backup": self._in_backup,
            "in_clean_stop": self._in_clean_stop,
        }

    def _at_work(self) -> None:
        wait_a_moment(self._chance)
        self._again()

    def _at_start(self) -> None:
        self._server.kill()
        self._kill_while_starting()
        self._server.start()

    def _two_in_a_row(self) -> None:
        self._again()
        self._again()

    def _in_checkpoint(self) -> None:
        """When the file that a checkpoint is written to has changed."""
        before = _stamp(self._checkpoint)
        for _ in range(_LOOKS_MAX):
            if _stamp(self._checkpoint) != before:
                break
            threading.Event().wait(_LOOK_SECONDS)
        self._again()

    def _in_backup(self) -> None:
        with_backup = self._client.with_options(max_attempts=1)
        try:
            for _part in with_backup.operations.backup_namespace():
                break
            wait_a_moment(self._chance, _LOOK_SECONDS)
        except GaplessError:
            pass  # another backup is not what this is about
        self._again()

    def _in_clean_stop(self) -> None:
        self._server.command.signal(signal.SIGTERM)
        wait_a_moment(self._chance)
        self._again()

    def _again(self) -> None:
        self._server.kill()
        self._server.start()

    def _kill_while_starting(self) -> None:
        timers: list[threading.Timer] = []

        def attach(pid: int) -> None:
            seconds = self._chance.uniform(0, START_SECONDS)
            timers.append(threading.Timer(seconds, os.kill, (pid, signal.SIGKILL)))
            timers[0].start()

        self._server.attach = attach
        try:
            self._server.start()
        except ServerError:
            pass  # as it was meant to be
        finally:
            self._server.attach = None
            for timer in timers:
                timer.join()
        self._server.kill()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def between_kills(watcher: Client, entries: int, kills: int) -> Iterator[int]:
    """Yields the number of each kill, each after some more entries than at the one before."""
    with watcher.events.watch(from_start=True) as watch:
        shown = (item for item in watch if isinstance(item, Entry))
        for kill in range(kills):
            for _ in range(entries):
                next(shown)
            yield kill


def final_head(server: RunningServer, namespace: str) -> int:
    """Returns the newest position, once nobody sends any more."""
    with server.client(namespace) as client:
        return client.operations.get_namespace().head_position
