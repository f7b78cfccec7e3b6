"""Times as integers: microseconds since the Unix epoch, and their form on the wire."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

MICROSECONDS = 1_000_000


def to_timestamp(time_us: int) -> Timestamp:
    """Returns the wire form of a time."""
    seconds, rest_us = divmod(time_us, MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=rest_us * 1000)


def set_timestamp(field: Timestamp, time_us: int) -> None:
    """Sets a time in the message that holds it: half the cost of building one, for long lists."""
    seconds, rest_us = divmod(time_us, MICROSECONDS)
    field.seconds = seconds
    field.nanos = rest_us * 1000


def optional_timestamp(time_us: int) -> Timestamp | None:
    """Returns the wire form of a time, or None for 0, which stands for "never"."""
    return to_timestamp(time_us) if time_us else None


def from_timestamp(timestamp: Timestamp) -> int:
    """Returns a time from its wire form."""
    return timestamp.seconds * MICROSECONDS + timestamp.nanos // 1000
