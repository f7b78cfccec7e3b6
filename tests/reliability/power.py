"""A disk whose power can be cut: an ext4 image on a loop mount.

A cut is ext4's shutdown ioctl: from then on nothing reaches the image, and what was written and
not synced is gone. It needs root, a loop device and mkfs.ext4.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_IMAGE_BYTES: Final = 256 * 1024 * 1024
# EXT4_IOC_SHUTDOWN, and its flag for not even writing the file system's own journal.
_SHUTDOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2


class PowerDisk:
    """A mounted file system; `path` is where."""

    def __init__(self, image: Path, path: Path) -> None:
        self._image = image
        self.path = path

    def mount(self) -> None:
        """Mounts it; what the file system had in its journal is replayed."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def cut(self) -> None:
        """Cuts the power. Whoever has files open there gets errors from now on."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(directory)

    def power_up(self) -> None:
        """Mounts it again after a cut, when nobody has files open there any more."""
        _run("umount", str(self.path))
        self.mount()


@contextmanager
def power_disk(directory: Path) -> Iterator[PowerDisk]:
    """Makes a disk and mounts it; OSError if that is not possible here."""
    directory.mkdir()
    image, path = directory / "image", directory / "disk"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    try:
        _run("mkfs.ext4", "-q", "-F", str(image))
        disk = PowerDisk(image, path)
        disk.mount()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise OSError(f"no ext4 image can be mounted here: {error}") from error
    try:
        yield disk
    finally:
        if os.path.ismount(path):
            # Lazily: whatever still holds a file there must not keep the mount or the loop device.
            _run("umount", "-l", str(path))
        image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
