"""Tells connections that they are in a child process now.

A forked child has the parent's memory but none of its threads, so a call on a connection of the
parent would wait for ever. Marking each connection, rather than comparing process ids on every
call, costs a call nothing.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Final, Protocol


class Forkable(Protocol):
    """What has to know that it was forked."""

    def mark_forked(self) -> None:
        """Runs in the child, before anything else does; may not take a lock."""


_live: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
# Connections of the parent, kept so that the child never runs their destructors, which would
# wait for threads that are not there.
_of_the_parent: Final[list[Forkable]] = []
# Channels for asyncio. While one exists, gRPC has a thread that serves all of them.
_asyncio_channels: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_asyncio_is_lost = False


def mark_when_forked(connection: Forkable) -> None:
    """Has `connection.mark_forked()` called in every child of this process."""
    _live.add(connection)


def note_asyncio_channel(channel: object) -> None:
    """Remembers that gRPC's asyncio support is in use for as long as the channel exists."""
    _asyncio_channels.add(channel)


def is_asyncio_lost() -> bool:
    """Whether this process was forked while its parent used gRPC's asyncio support.

    The thread that all its channels share is missing then, and gRPC does not start another.
    """
    return _asyncio_is_lost


def _mark_all() -> None:
    global _asyncio_is_lost
    _asyncio_is_lost = _asyncio_is_lost or bool(_asyncio_channels)
    for connection in list(_live):
        connection.mark_forked()
        _of_the_parent.append(connection)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_mark_all)
