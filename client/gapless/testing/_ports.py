"""Free ports for servers that are stopped and started again on the same one."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path
from typing import Final

_EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What Linux has unless it is set otherwise; elsewhere the ranges begin higher.
_EPHEMERAL_FIRST: Final = 32_768
_FIRST: Final = 10_000
_TRIES_MAX: Final = 1_000


def free_port(host: str) -> int:
    """A port of `host` that nothing listens on.

    It lies below those that the system gives to outgoing connections. While a server is down,
    such a connection could take its port; a client that tries to reach the server again and
    again could even be given that port as its own, and be connected with itself.

    Raises:
        OSError: there is none.
    """
    last = _ephemeral_first() - 1
    for _ in range(_TRIES_MAX):
        # Not the shared generator: tests seed that one, and would all choose the same ports.
        port = random.SystemRandom().randint(_FIRST, last)
        if _is_free(host, port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port of {host} from {_FIRST} to {last}")


def _ephemeral_first() -> int:
    try:
        first = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:
        return _EPHEMERAL_FIRST
    return first if first > _FIRST + _TRIES_MAX else _EPHEMERAL_FIRST


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True
