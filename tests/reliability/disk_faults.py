"""What can be wrong with a disk, or with what the system lets a service have of it.

A fault is there from some moment of the service's life on, until it is lifted or the process has
ended.
"""

from __future__ import annotations

import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.reliability.tracing import Tracer

TMPFS_MIB: Final = 8
_MIB: Final = 1024 * 1024
_BLOCK_BYTES: Final = 4096


class Fault(Protocol):
    """Something that is wrong."""

    def attach(self, pid: int) -> None:
        """Is told the process of the service before it does anything."""
        ...

    def begin(self, pid: int) -> None:
        """Is told when the service has some work behind it, for faults that come only then."""
        ...

    def lift(self) -> None:
        """Ends the fault, if it still is there."""
        ...


class TracedFault:
    """A call that fails or takes long, once or for good, as a tracer is set to."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer: Tracer | None = tracer

    def attach(self, pid: int) -> None:
        if self._tracer is not None:
            self._tracer.attach(pid)

    def begin(self, pid: int) -> None:
        """The tracer counts from the start on."""

    def lift(self) -> None:
        if self._tracer is not None:
            self._tracer.close()
            self._tracer = None


class NoFault:
    """Nothing is wrong."""

    def attach(self, pid: int) -> None:
        """Nothing to do."""

    def begin(self, pid: int) -> None:
        """Nothing to do."""

    def lift(self) -> None:
        """Nothing to do."""


class FullDisk(NoFault):
    """A file system that something else fills up, but for a few blocks."""

    def __init__(self, disk: Path, chance: random.Random) -> None:
        self._ballast = disk / "ballast"
        self._blocks_left = chance.choice((0, 0, 1, 3, 10, 30))

    def begin(self, pid: int) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            for size in (_MIB, _BLOCK_BYTES):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
            size_bytes = self._ballast.stat().st_size
            file.truncate(max(0, size_bytes - self._blocks_left * _BLOCK_BYTES))

    def lift(self) -> None:
        self._ballast.unlink(missing_ok=True)


class _Limit(NoFault):
    """A resource limit of the process."""

    resource: int

    def __init__(self) -> None:
        self._limited: tuple[int, tuple[int, int]] | None = None

    def limit(self, pid: int, value: int) -> None:
        before = resource.prlimit(pid, self.resource)
        self._limited = (pid, before)
        resource.prlimit(pid, self.resource, (value, before[1]))

    def lift(self) -> None:
        if self._limited is not None:
            pid, before = self._limited
            self._limited = None
            try:
                resource.prlimit(pid, self.resource, before)
            except ProcessLookupError:
                return


class SmallFiles(_Limit):
    """No file may grow beyond a size (EFBIG)."""

    resource = resource.RLIMIT_FSIZE

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._size_bytes = chance.randrange(1, 300_000)

    def begin(self, pid: int) -> None:
        self.limit(pid, self._size_bytes)


class FewHandles(_Limit):
    """The process may open only a few files more (EMFILE)."""

    resource = resource.RLIMIT_NOFILE

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._more = chance.randrange(0, 12)

    def begin(self, pid: int) -> None:
        self.limit(pid, len(list(Path(f"/proc/{pid}/fd").iterdir())) + self._more)


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mounts a small file system in memory; OSError if that is not possible here."""
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "tmpfs", str(directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        raise OSError(mounted.stderr)
    try:
        yield directory
    finally:
        # Lazily: whatever still holds a file there must not keep the mount.
        subprocess.run(["umount", "-l", str(directory)], check=True)
