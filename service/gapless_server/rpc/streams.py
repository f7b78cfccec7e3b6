"""Limits how many streams of a kind are open at once."""

from __future__ import annotations

from types import TracebackType

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused


class StreamGate:
    """A context that each open stream of a kind stands in."""

    def __init__(self, kind: str, streams_max: int) -> None:
        self._kind = kind
        self._streams_max = streams_max
        self.open_count = 0

    def __enter__(self) -> None:
        """Lets a stream in. Raises Refused, reason TOO_MANY_STREAMS."""
        if self.open_count >= self._streams_max:
            raise Refused(
                errors_pb2.ERROR_REASON_TOO_MANY_STREAMS,
                retry_after_seconds=1.0,
                streams_max=self._streams_max,
                kind=self._kind,
            )
        self.open_count += 1

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open_count -= 1
