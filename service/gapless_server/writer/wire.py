"""The wire format of protobuf, as far as the round needs it to put messages together from parts.

The hot path serializes each event and each response once and joins the bytes, instead of copying
messages into messages: a message is its fields one after another, and a field of a message type
is a tag, a length and the bytes. Reference: protobuf.dev, "Encoding".
"""

from __future__ import annotations

_VARINT = 0
_LENGTH_DELIMITED = 2


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


# Lengths and small numbers are looked up: every field has one.
_LOOKED_UP_BITS = 14
_LOOKED_UP = 1 << _LOOKED_UP_BITS
_VARINTS = [_varint(value) for value in range(_LOOKED_UP)]
# The lower half of a number of two halves, to be followed by its upper half. Positions are such
# numbers for the first 268 million entries, and each is written twice.
_LOWER_HALVES = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(_LOOKED_UP)]
_LOWER_HALF = _LOOKED_UP - 1
_TWO_HALVES = 1 << 2 * _LOOKED_UP_BITS


def varint(value: int) -> bytes:
    """Returns a number of at least 0 as a varint."""
    if value < _LOOKED_UP:
        return _VARINTS[value]
    if value < _TWO_HALVES:
        return _LOWER_HALVES[value & _LOWER_HALF] + _VARINTS[value >> _LOOKED_UP_BITS]
    return _varint(value)


def number_tag(number: int) -> bytes:
    """Returns the tag of an integer, boolean or enum field."""
    return _varint(number << 3 | _VARINT)


def bytes_tag(number: int) -> bytes:
    """Returns the tag of a string, bytes or message field."""
    return _varint(number << 3 | _LENGTH_DELIMITED)


def field(tag: bytes, data: bytes) -> bytes:
    """Returns a string, bytes or message field."""
    length = len(data)
    # Repeats `varint` instead of calling it: this runs several times for every command.
    return tag + (_VARINTS[length] if length < _LOOKED_UP else _varint(length)) + data
