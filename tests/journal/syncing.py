"""Watches which files this process syncs to the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Synced:
    """The files and directories that were synced, by their inodes, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inodes: list[int] = []
        fsync = os.fsync

        def observed(descriptor: int) -> None:
            fsync(descriptor)
            self.inodes.append(os.fstat(descriptor).st_ino)

        monkeypatch.setattr(os, "fsync", observed)

    def holds(self, path: Path) -> bool:
        """Whether the file or directory was synced."""
        return path.stat().st_ino in self.inodes

    def last(self, path: Path) -> bool:
        """Whether nothing was synced after the file or directory."""
        return path.stat().st_ino == self.inodes[-1]
