"""The wire format of protobuf, as far as the round needs it to put messages together from parts.

The hot path serializes each event and each response once and joins the bytes, instead of copying
messages into messages: a message is its fields one after another, and a field of a message type
is a tag, a length and the bytes. Reference: protobuf.dev, "Encoding".
"""

from __future__ import annotations

_VARINT = 0
_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """Returns a number of at least 0 as a varint."""
    if value < 0x80:
        return _ONE_BYTE[value]
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


_ONE_BYTE = [bytes((value,)) for value in range(0x80)]


def number_tag(number: int) -> bytes:
    """Returns the tag of an integer, boolean or enum field."""
    return varint(number << 3 | _VARINT)


def bytes_tag(number: int) -> bytes:
    """Returns the tag of a string, bytes or message field."""
    return varint(number << 3 | _LENGTH_DELIMITED)


def field(tag: bytes, data: bytes) -> bytes:
    """Returns a string, bytes or message field."""
    return tag + varint(len(data)) + data
