"""System calls of a process that are written down, or at one of which something is done to it.

Made with strace, from outside of the process. Only calls on given files count, so that a number
means the same in every run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

# What changes files and what makes changes durable.
WRITING_CALLS: Final = ("write", "pwrite64", "ftruncate", "rename", "unlink", "openat", "mkdir")
SYNCING_CALLS: Final = ("fsync", "fdatasync")

_ATTACH_SECONDS_MAX: Final = 30.0
_LINE: Final = re.compile(r"^(\d+) +(\w+)\((.*)$")
_FILE: Final = re.compile(r"^\d+<([^>]*)>|^(?:AT_FDCWD[^,]*, )?\"([^\"]*)\"")


def _reason_against_strace() -> str:
    """Returns why no tracer can be attached to a process here; nothing if one can be."""
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() != 0 and scope.exists() and scope.read_text().strip() != "0":
        return f"{scope} lets only root attach strace to a process"
    return ""


needs_strace = pytest.mark.skipif(
    bool(_reason_against_strace()), reason=_reason_against_strace() or "strace works here"
)


class Point(NamedTuple):
    """The n-th call of a kind that a thread makes on a file, counted from 1."""

    call: str
    path: str
    number: int


class Tracer:
    """An strace that is attached to one process."""

    def __init__(self, log_path: Path, arguments: Sequence[str]) -> None:
        self._log_path = log_path
        self._arguments = arguments
        self._strace: subprocess.Popen[bytes] | None = None

    def attach(self, pid: int) -> None:
        """Follows a process and all threads that it will have; returns once it does."""
        self._strace = subprocess.Popen(
            ["strace", "-f", "-y", "-qq", "-o", str(self._log_path), *self._arguments,
             "-p", str(pid)],
            stderr=subprocess.PIPE,
        )  # fmt: skip
        give_up_time = time.monotonic() + _ATTACH_SECONDS_MAX
        while _tracer_of(pid) != self._strace.pid:
            if self._strace.poll() is not None or time.monotonic() > give_up_time:
                assert self._strace.stderr is not None
                raise RuntimeError(f"strace: {self._strace.stderr.read().decode()}")

    def end(self) -> None:
        """Waits for the tracer, which ends with the process that it follows."""
        if self._strace is not None:
            self._strace.communicate(timeout=_ATTACH_SECONDS_MAX)
            self._strace = None

    def close(self) -> None:
        """Ends the tracer; the process, if there still is one, goes on without it."""
        if self._strace is not None:
            self._strace.terminate()
            self._strace.communicate()
            self._strace = None


@contextmanager
def recording(log_path: Path) -> Iterator[Tracer]:
    """Gives a tracer that writes down every call that changes or syncs a file."""
    tracer = Tracer(log_path, ["-e", "trace=" + ",".join((*WRITING_CALLS, *SYNCING_CALLS))])
    try:
        yield tracer
    finally:
        tracer.close()


@contextmanager
def injecting(
    log_path: Path, point: Point, fault: str, *, for_good: bool = False
) -> Iterator[Tracer]:
    """Gives a tracer that does something at a point, such as `signal=KILL` or `error=EIO`.

    `for_good` does it at every such call from there on. The call itself does not happen, unless
    the fault is a delay.
    """
    when = f"{point.number}{'+' if for_good else ''}"
    tracer = Tracer(
        log_path,
        ["-P", point.path, "-e", f"trace={point.call}",
         "-e", f"inject={point.call}:{fault}:when={when}"],
    )  # fmt: skip
    try:
        yield tracer
    finally:
        tracer.close()


def points_of(log_path: Path, prefix: Path) -> list[Point]:
    """Returns the calls that were written down on files whose path begins so, in their order.

    Each is counted in the thread that makes it. Where two threads make the same calls on one
    file, it is the first of them that comes to a number.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    points: dict[Point, None] = {}
    for thread, call, path in _calls(log_path.read_text(errors="replace")):
        seen[thread, call, path] += 1
        if path.startswith(str(prefix)):
            points[Point(call, path, seen[thread, call, path])] = None
    return list(points)


def _calls(text: str) -> Iterator[tuple[str, str, str]]:
    for line in text.splitlines():
        if (found := _LINE.match(line)) is None:
            continue
        thread, call, arguments = found.groups()
        file = _FILE.match(arguments)
        if file is not None:
            yield thread, call, file[1] or file[2]


def _tracer_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    found = re.search(r"^TracerPid:\s*(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else 0
