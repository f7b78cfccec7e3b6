"""A watch that goes on through all that happens to the service."""

from __future__ import annotations

import threading

from gapless import Entry
from gapless.testing import RunningServer
from tests.reliability.forked_service import SECONDS_MAX


class LogWatch:
    """A watch of the namespace `story` from its first entry on, through all that happens."""

    def __init__(self, service: RunningServer) -> None:
        self._client = service.client("story")
        self._seen: list[tuple[int, str]] = []
        # Where to end, once that is known; a log is never so long.
        self.last_position = 2**63
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ended(self) -> list[tuple[int, str]]:
        """Returns what was seen, once the watch has come to its last position."""
        self._thread.join(SECONDS_MAX)
        assert not self._thread.is_alive(), f"a watch has not gone on since {self._seen[-1:]}"
        if self._failure is not None:
            raise AssertionError(f"a watch has ended: {self._failure}") from self._failure
        return self._seen

    def close(self) -> None:
        self._client.close()

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:
            self._failure = error

    def _follow(self) -> None:
        with self._client.events.watch(from_start=True, timeout=SECONDS_MAX) as watch:
            for item in watch:
                if isinstance(item, Entry):
                    self._seen.append((item.position, item.request_id))
                if len(self._seen) >= self.last_position:
                    return
