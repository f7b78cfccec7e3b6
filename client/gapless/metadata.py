"""The gRPC metadata that goes with a call: names shared by the SDK and the service.

Who calls the raw stubs sends it as well, for example
``stub.GetChannel(request, metadata=call_metadata(namespace="team-a"))``.
"""

from __future__ import annotations

import re
from typing import Final

NAMESPACE_KEY: Final = "gapless-namespace"
"""Names the namespace of the call; absent means ``DEFAULT_NAMESPACE``."""

CALLER_KEY: Final = "gapless-caller"
"""Names the scope within which request ids are unique; absent means the empty name."""

MIN_POSITION_KEY: Final = "gapless-min-position"
"""On reads: answer once the log has at least this position."""

DEFAULT_NAMESPACE: Final = "default"
DEFAULT_TARGET: Final = "127.0.0.1:4275"

NAMESPACE_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
CALLER_LENGTH_MAX: Final = 128

CallMetadata = tuple[tuple[str, str], ...]
"""What the gRPC stubs take as ``metadata``."""


def call_metadata(
    *, namespace: str | None = None, caller: str | None = None, min_position: int | None = None
) -> CallMetadata:
    """The metadata of a call.

    Args:
        namespace: 1 to 63 of ``a-z 0-9 . _ -``, the first a letter or a digit. None: ``default``.
        caller: 1 to 128 printable ASCII characters. None: the empty caller.
        min_position: a position, from 1. None: the newest state, which is the default.

    Raises:
        ValueError: an argument breaks its rule; the text says which.
    """
    pairs: list[tuple[str, str]] = []
    if namespace is not None:
        if not NAMESPACE_PATTERN.fullmatch(namespace):
            raise ValueError(
                f"namespace {namespace!r} is not a valid name: expected 1 to 63 characters of"
                " a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit"
            )
        pairs.append((NAMESPACE_KEY, namespace))
    if caller is not None:
        printable = caller.isascii() and caller.isprintable() and caller == caller.strip()
        if not printable or not 1 <= len(caller) <= CALLER_LENGTH_MAX:
            raise ValueError(
                f"caller {caller!r} is not a valid name: expected 1 to {CALLER_LENGTH_MAX}"
                " printable ASCII characters without a space at either end"
            )
        pairs.append((CALLER_KEY, caller))
    if min_position is not None:
        if min_position < 1:
            raise ValueError(f"min_position is {min_position}; positions begin with 1")
        pairs.append((MIN_POSITION_KEY, str(min_position)))
    return tuple(pairs)
