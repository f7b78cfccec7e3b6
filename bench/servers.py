"""Starts peers' servers, each on 127.0.0.1 with a directory of its own, and ends them by pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.02
# Where Debian keeps what it does not put on the path.
MORE_PLACES = ("/usr/lib/postgresql/15/bin", "/usr/sbin", "/usr/local/sbin")


class NotInstalled(Exception):
    """A peer is left out; the text says what to install."""


def program(name: str, package: str) -> str:
    """The path of a program. Raises NotInstalled, naming the Debian package."""
    places = os.pathsep.join([os.environ.get("PATH", ""), *MORE_PLACES])
    found = shutil.which(name, path=places)
    if found is None:
        raise NotInstalled(f"{name} is not installed: apt-get install {package}")
    return found


def version(*command: str) -> str:
    """The first line that a program says about itself."""
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    return (output.stdout or output.stderr).splitlines()[0].strip()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def work_directory() -> Iterator[Path]:
    """A directory on a disk; every system's files lie below it. Raises RuntimeError on tmpfs."""
    parent = Path(os.environ.get("BENCH_DIRECTORY", "/var/tmp"))
    directory = Path(tempfile.mkdtemp(prefix="gapless-bench-", dir=parent))
    if file_system(directory) in ("tmpfs", "ramfs"):
        directory.rmdir()
        raise RuntimeError(f"{parent} is in memory; set BENCH_DIRECTORY to a directory on a disk")
    # PostgreSQL does not run as root, so another user has to get through.
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def file_system(path: Path) -> str:
    """The type of the file system that a path lies on."""
    best, found = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, mount, kind, *_rest = line.split()
        if str(path).startswith(mount) and len(mount) >= len(best):
            best, found = mount, kind
    return found


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[int]:
    """Runs a server until the end of the block; gives its pid once it listens."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            user=user,
            start_new_session=True,
        )
    try:
        _wait_for_port(process, port, log)
        yield process.pid
    finally:
        _end(process)


def _wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up_time = time.monotonic() + START_SECONDS_MAX
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text(errors='replace')[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        if time.monotonic() > give_up_time:
            raise RuntimeError(f"nothing listens on port {port}: see {log}")
        time.sleep(LOOK_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a server; SIGINT, which each takes as an order to stop at once and in order."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
