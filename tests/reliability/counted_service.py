"""The service in a process of its own that can be asked what it holds: tasks, streams, futures.

Run as a program it is that process: it answers each line on its standard input with its counts, as
JSON, and stops in order when there are no more lines.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvloop

from gapless.testing import SubprocessServer
from gapless_server.cli.logs import configure_logs
from gapless_server.server import Server
from gapless_server.settings import Settings
from gapless_server.writer.lines import Waiter
from gapless_server.writer.queue import Frame

# A hang must end the test.
SECONDS_MAX: Final = 60.0


class CountedService:
    """The service, and what it holds."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        # For a free port and the place of the data.
        place = SubprocessServer(directory=directory)
        self.address = place.address
        self.data = place.settings.data
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(place.settings.port), str(self.data),
             json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.counts()

    def counts(self) -> dict[str, int]:
        """Returns how many there are of what a call may leave behind, and the resident KiB."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(SECONDS_MAX)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        assert code == 0, f"the service ended with exit code {code}"


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def held(server: Server) -> dict[str, int]:
    """Counts, in the process of the service."""
    gc.collect()
    kinds = Counter(type(item) for item in gc.get_objects())
    slots = list(server.namespaces._slots.values())
    open_now = [slot.opening.result() for slot in slots if slot.opening.done()]
    return {
        "tasks": len(asyncio.all_tasks()),
        "frames": kinds[Frame],
        "waiters": kinds[Waiter],
        "pipelines": server._commands._gate.open_count,
        "watches": server._events._gate.open_count,
        "namespace_users": sum(slot.users for slot in slots),
        "queued": sum(len(namespace._queue) for namespace in open_now),
        "in_line": sum(len(namespace._lines) for namespace in open_now),
        "reads": sum(len(namespace._reads) for namespace in open_now),
        "resident_kib": resident_kib(),
    }


async def serve(settings: Settings) -> None:
    server = Server(settings)
    await server.start()
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while await lines.readline():
        print(json.dumps(held(server)), flush=True)  # noqa: T201 - what it was asked for
    transport.close()
    await server.stop()


if __name__ == "__main__":
    _program, port, data, given = sys.argv
    wanted = Settings(port=int(port), data=Path(data), log_level="error", **json.loads(given))
    configure_logs(wanted)
    uvloop.run(serve(wanted))
