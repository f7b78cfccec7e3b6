"""Clients that write and read until the service is gone, and remember all that they were shown."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gapless import Client, Entry, GaplessError
from gapless.testing import RunningServer

CHANNEL: Final = "red"
_WRITERS: Final = 4
# Writers post so many messages in one batch, every now and then.
_BATCH_MESSAGES: Final = 20
_SECONDS_MAX: Final = 60.0


@dataclass
class Seen:
    """What was shown, to anybody: the request ids of entries by position, and sequences."""

    acknowledged: dict[int, str] = field(default_factory=dict)
    watched: dict[int, str] = field(default_factory=dict)
    head_sequence: int = 0


class Witnesses:
    """Writers, a watcher and a reader of one namespace, each a thread with its own connection."""

    def __init__(self, service: RunningServer, namespace: str) -> None:
        self.seen = Seen()
        self._service = service
        self._namespace = namespace
        self._clients: list[Client] = []
        works = [self._watch, self._read, *(self._writer(n) for n in range(_WRITERS))]
        self._threads = [
            threading.Thread(target=self._until_gone, args=(work,), daemon=True) for work in works
        ]
        self._posted = threading.Event()

    def start(self) -> None:
        """Lets them begin."""
        for thread in self._threads:
            thread.start()

    def until_acknowledged(self) -> None:
        """Returns once something was acknowledged."""
        assert self._posted.wait(_SECONDS_MAX), "nothing was acknowledged"

    def gone(self) -> Seen:
        """Returns what was seen, once each has found that the service is gone."""
        for thread in self._threads:
            thread.join(_SECONDS_MAX)
            assert not thread.is_alive(), "a client waits for a service that is gone"
        return self.seen

    def _until_gone(self, work: Callable[[Client], None]) -> None:
        with self._service.client(self._namespace, max_attempts=1) as client:
            try:
                work(client)
            except GaplessError:
                return

    def _writer(self, number: int) -> Callable[[Client], None]:
        def write(client: Client) -> None:
            count = 0
            while True:
                count += 1
                request_id = f"writer{number}-{count}"
                if count % 5:
                    posted = client.messages.post(CHANNEL, "ada", "x" * 300, request_id=request_id)
                    position = posted.receipt.position
                else:
                    position = _batch(client, request_id)
                self.seen.acknowledged[position] = request_id
                self._posted.set()

        return write

    def _watch(self, client: Client) -> None:
        for item in client.events.watch(from_start=True, resume_timeout=0.01):
            if isinstance(item, Entry):
                self.seen.watched[item.position] = item.request_id

    def _read(self, client: Client) -> None:
        while True:
            self.seen.head_sequence = client.channels.get(CHANNEL).head_sequence


def _batch(client: Client, request_id: str) -> int:
    with client.batch(request_id=request_id) as batch:
        for _ in range(_BATCH_MESSAGES):
            posted = batch.messages.post(CHANNEL, "ada", "in a batch")
    return posted.receipt.position
