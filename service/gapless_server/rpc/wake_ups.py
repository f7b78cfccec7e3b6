"""Reads the wake-ups of gRPC's own thread all at once.

grpc.aio has a thread that waits for what happens to calls. It writes a byte to a socket for each
event, and the event loop reads one byte in a turn and then does all that is to be done. After 100
events at once, 99 turns wake up for nothing; and once some 300 bytes lie there the thread, and all
that has happened since, waits for as many turns. gRPC has no option for it, but it takes whatever
socket it is given.

Only for a process with one event loop. gRPC serves all loops of a process from the first of them,
and an event of one that was closed is an exception there: then what is left to do waits for the
next byte, which must not have been read.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_READ_BYTES: Final = 4096


class _Drained(socket.socket):
    """A socket whose reads take what there is."""

    def recv(self, _size: int, flags: int = 0, /) -> bytes:
        """Returns all that was written, however little was asked for."""
        return super().recv(_READ_BYTES, flags)


@contextmanager
def all_at_once() -> Iterator[None]:
    """Makes the loop that grpc.aio begins within, in this thread, read all its wake-ups.

    It must be the only loop of the process. If gRPC has begun before, or does not ask for a pair of
    sockets, nothing changes.
    """
    make_pair, here = socket.socketpair, threading.get_ident()

    def drained_pair(*args: Any, **options: Any) -> tuple[socket.socket, socket.socket]:
        read_end, write_end = make_pair(*args, **options)
        if threading.get_ident() != here:
            return read_end, write_end
        family, kind, protocol = read_end.family, read_end.type, read_end.proto
        return _Drained(family, kind, protocol, fileno=read_end.detach()), write_end

    socket.socketpair = drained_pair
    try:
        yield
    finally:
        socket.socketpair = make_pair
