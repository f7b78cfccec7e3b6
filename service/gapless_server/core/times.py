"""Times as integers: microseconds since the Unix epoch, and their form on the wire."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from gapless_server.core.wire import VARINTS, number_tag

MICROSECONDS = 1_000_000
# Times that are kept as bytes: things that are listed together often came in one round.
_KEPT_TIMES: Final = 1000
_SECONDS = number_tag(Timestamp.SECONDS_FIELD_NUMBER)
_NANOS = number_tag(Timestamp.NANOS_FIELD_NUMBER)


def to_timestamp(time_us: int) -> Timestamp:
    """Returns the wire form of a time."""
    seconds, rest_us = divmod(time_us, MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=rest_us * 1000)


@lru_cache(_KEPT_TIMES)
def timestamp_bytes(time_us: int) -> bytes:
    """Returns the bytes of the wire form of a time, for what is read often."""
    seconds, rest_us = divmod(time_us, MICROSECONDS)
    nanos = _NANOS + VARINTS[rest_us * 1000] if rest_us else b""
    return _seconds_bytes(seconds) + nanos if seconds else nanos


@lru_cache(_KEPT_TIMES)
def _seconds_bytes(seconds: int) -> bytes:
    return _SECONDS + VARINTS[seconds]


def optional_timestamp_bytes(time_us: int) -> bytes | None:
    """Returns the bytes of the wire form of a time, or None for 0, which stands for "never"."""
    return timestamp_bytes(time_us) if time_us else None


def optional_timestamp(time_us: int) -> Timestamp | None:
    """Returns the wire form of a time, or None for 0, which stands for "never"."""
    return to_timestamp(time_us) if time_us else None


def from_timestamp(timestamp: Timestamp) -> int:
    """Returns a time from its wire form."""
    return timestamp.seconds * MICROSECONDS + timestamp.nanos // 1000
