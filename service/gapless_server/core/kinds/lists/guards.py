"""The guard of lists: a list is at a version."""

from __future__ import annotations

from gapless.v1 import lists_pb2
from gapless_server.core.kernel import Unmet
from gapless_server.core.kinds.lists.tables import list_version
from gapless_server.core.state import State


def at_version(state: State, guard: lists_pb2.ListVersionGuard) -> Unmet | None:
    """Returns None if the list is at the version; 0 is that of a list that does not exist."""
    version = list_version(state, guard.list_id)
    if version == guard.version:
        return None
    return Unmet(f"list {guard.list_id}", f"version {guard.version}", f"version {version}")
