"""Who listens on a port of this machine, as far as it can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"  # the state of a listening socket in /proc/net/tcp


def describe_listener(port: int) -> str:
    """Returns a phrase that names the process that listens on the port."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            targets = {str(link.readlink()) for link in (process / "fd").iterdir()}
            if not targets.isdisjoint(inodes):
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                return f"process {process.name} ({' '.join(words).strip()}) listens there"
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return "another process listens there"


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # not Linux
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    return inodes
