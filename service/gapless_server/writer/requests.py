"""The index of request ids: which position a caller's request id was committed at (G3)."""

from __future__ import annotations


def request_key(caller: str, request_id: str) -> str:
    """Returns the key of a request id in the scope of its caller.

    Neither holds a control character, so the separator cannot be forged.
    """
    return f"{caller}\0{request_id}" if caller else request_id


class RequestIndex:
    """Positions by request key, for ever, the pending round included."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def get(self, key: str) -> int | None:
        """Returns the position of a request, or None if it was never committed."""
        return self._positions.get(key)

    def put(self, key: str, position: int) -> None:
        """Remembers a request."""
        self._positions[key] = position
