"""What every call brings beside its message: namespace, caller, and the position to wait for."""

from __future__ import annotations

import re
from typing import NamedTuple

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


class CallScope(NamedTuple):
    """Who calls, which namespace is meant, and how fresh a read must be."""

    namespace: str
    caller: str
    min_position: int


_DEFAULT = CallScope(DEFAULT_NAMESPACE, "", 0)


def scope_of(context: ServicerContext) -> CallScope:
    """Returns the scope from the metadata of a call.

    Raises Refused, reason INVALID_FIELD, naming the metadata key.
    """
    namespace, caller, min_position = _DEFAULT
    for key, value in context.invocation_metadata() or ():
        if not key.startswith("gapless-"):
            continue
        text = value if isinstance(value, str) else value.decode("utf-8", "replace")
        if key == NAMESPACE_KEY:
            if not NAMESPACE_PATTERN.fullmatch(text):
                raise invalid_field(
                    f"metadata {NAMESPACE_KEY}", f"must match {NAMESPACE_PATTERN.pattern}"
                )
            namespace = text
        elif key == CALLER_KEY:
            if text and (fault := identifier_fault(text)):
                raise invalid_field(f"metadata {CALLER_KEY}", fault)
            caller = text
        elif key == MIN_POSITION_KEY:
            if not _POSITION_PATTERN.fullmatch(text) or int(text) >= 2**63:
                raise invalid_field(
                    f"metadata {MIN_POSITION_KEY}", "must be a number from 0 to 2^63-1"
                )
            min_position = int(text)
    return CallScope(namespace, caller, min_position)
