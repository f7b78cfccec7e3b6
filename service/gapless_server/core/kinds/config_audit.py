"""Recounts configuration keys: versions without a gap, and deletions of what exists only."""

from __future__ import annotations

from google.protobuf.message import Message

from gapless.v1 import config_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment


class ConfigAuditor(Auditor):
    """Every change adds 1 to its key's version, from 1, and only an existing key is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self._versions: dict[str, int] = {}
        self._existing: set[str] = set()

    def observe(self, event: Message, moment: Moment) -> None:
        """Recounts writes and deletions."""
        if isinstance(event, config_pb2.ConfigSet):
            self._count(event.key, event.version, moment)
            self._existing.add(event.key)
        elif isinstance(event, config_pb2.ConfigDeleted):
            self._count(event.key, event.version, moment)
            if event.key not in self._existing:
                self.breach(moment, f"deletes config key {event.key}, which does not exist")
            self._existing.discard(event.key)

    def _count(self, key: str, version: int, moment: Moment) -> None:
        expected = self._versions.get(key, 0) + 1
        if version != expected:
            self.breach(moment, f"config key {key} has version {version}, expected {expected}")
        self._versions[key] = version
