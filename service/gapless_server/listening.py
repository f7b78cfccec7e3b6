"""Where the service listens: the address as gRPC takes it, and why it could not be had.

gRPC says of an address only that it failed; whether somebody else has it, or whether it is none of
this machine, an operator has to be told.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Final

# What an operator can do about the rest is not known; the system's own words are told then.
_REASONS: Final = {
    errno.EADDRNOTAVAIL: "it is no address of this machine; choose one that is, or 0.0.0.0 or ::"
    " for all, with --host",
    errno.EACCES: "this user may not listen on the port; choose one from 1024 on with --port",
}


class AddressInUse(Exception):
    """Something else listens on the address already."""


class AddressUnusable(Exception):
    """The address is none that can be listened on here, whoever else there is."""


def listen_address(host: str, port: int) -> str:
    """Returns the address of a host and a port. Raises AddressUnusable if the host is none."""
    bare = _bare(host)
    if not bare.strip() or (":" in bare and not _is_ipv6(bare)):
        # A colon would make it what it must not be: unix:, or a port of its own.
        raise AddressUnusable(
            f"host {host!r} is neither an address nor the name of a machine; expected one as"
            " 127.0.0.1, ::1 or localhost, and the port in --port"
        )
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def why_refused(host: str, port: int) -> AddressInUse | AddressUnusable:
    """Says why the address could not be listened on, by trying it."""
    address = listen_address(host, port)
    try:
        found = socket.getaddrinfo(_bare(host), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return AddressUnusable(
            f"cannot listen on {address}: the host {host!r} cannot be resolved ({reason}); choose"
            " an address of this machine with --host"
        )
    faults = [_fault(family, kind, protocol, where) for family, kind, protocol, _, where in found]
    # Of a name with several addresses one may be taken, and another not be there.
    if errno.EADDRINUSE in faults:
        return AddressInUse(
            f"cannot listen on {address}: something else listens there; stop it, or choose"
            " another port with --port"
        )
    number = next(filter(None, faults), 0)
    reason = _REASONS.get(number) or (os.strerror(number) if number else "gRPC refuses it")
    return AddressUnusable(f"cannot listen on {address}: {reason}")


def _fault(
    family: socket.AddressFamily, kind: socket.SocketKind, protocol: int, where: tuple[object, ...]
) -> int:
    """Returns the number of the error that listening there meets; 0 for none."""
    try:
        with socket.socket(family, kind, protocol) as probe:
            # As gRPC does: what was closed a moment ago is nothing in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
