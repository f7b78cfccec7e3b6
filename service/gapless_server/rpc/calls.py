"""What every call brings beside its message: namespace, caller, and the position to wait for."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import grpc.aio

from gapless_server.core.refusals import invalid_field
from gapless_server.core.validation import identifier_fault

NAMESPACE_KEY = "gapless-namespace"
CALLER_KEY = "gapless-caller"
MIN_POSITION_KEY = "gapless-min-position"

DEFAULT_NAMESPACE = "default"
NAMESPACE_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_POSITION_PATTERN = re.compile(r"[0-9]{1,19}")

ServicerContext = grpc.aio.ServicerContext[bytes, bytes]


def at_end_of(context: ServicerContext, call: Callable[[], None]) -> None:
    """Has something called once a call has ended: its response is sent, or never will be."""
    untyped: Any = context  # the stubs want a callback whose argument has a name of theirs
    untyped.add_done_callback(lambda _context: call())


class CallScope(NamedTuple):
    """Who calls, which namespace is meant, and how fresh a read must be."""

    namespace: str
    caller: str
    min_position: int


# Scopes that are kept, so that those of the same caller are not made and checked for every call.
_KEPT_SCOPES: Final = 1000


def scope_of(context: ServicerContext) -> CallScope:
    """Returns the scope from the metadata of a call.

    Raises Refused, reason INVALID_FIELD, naming the metadata key.
    """
    namespace: str | bytes = DEFAULT_NAMESPACE
    caller: str | bytes = ""
    min_position: str | bytes = "0"
    for key, value in context.invocation_metadata() or ():
        if key == NAMESPACE_KEY:
            namespace = value
        elif key == CALLER_KEY:
            caller = value
        elif key == MIN_POSITION_KEY:
            min_position = value
    return _scope(namespace, caller, min_position)


@lru_cache(_KEPT_SCOPES)
def _scope(namespace: str | bytes, caller: str | bytes, min_position: str | bytes) -> CallScope:
    namespace, caller, position = _text(namespace), _text(caller), _text(min_position)
    if not NAMESPACE_PATTERN.fullmatch(namespace):
        expected = f"must match {NAMESPACE_PATTERN.pattern}"
        raise invalid_field(f"metadata {NAMESPACE_KEY}", f"{expected}, found {_shown(namespace)}")
    if caller and (fault := identifier_fault(caller)):
        raise invalid_field(f"metadata {CALLER_KEY}", fault)
    if not _POSITION_PATTERN.fullmatch(position) or int(position) >= 2**63:
        expected = "must be a number from 0 to 2^63-1"
        raise invalid_field(f"metadata {MIN_POSITION_KEY}", f"{expected}, found {_shown(position)}")
    return CallScope(namespace, caller, int(position))


def _shown(value: str) -> str:
    """Returns a value as an error has it: with quotes, so that spaces around it are seen."""
    return f"{value!r:.140}"


def _text(value: str | bytes) -> str:
    """Returns what gRPC gives as bytes if it is not ASCII."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
