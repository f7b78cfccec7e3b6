"""The wire format of protobuf, as far as it is needed to put messages together from parts.

The hot path serializes each event and each response once and joins the bytes, instead of copying
messages into messages: a message is its fields one after another, and a field of a message type
is a tag, a length and the bytes. Reference: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_VARINT = 0
_LENGTH_DELIMITED = 2


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


class _Varints(dict[int, bytes]):
    """The varints of 64-bit numbers: the small ones are looked up, the others made."""

    def __missing__(self, value: int) -> bytes:
        if 0 <= value <= _UINT64_MAX:
            return _LOWER_PARTS[value & _LOWER_PART] + self[value >> _LOOKED_UP_BITS]
        return _varint(value & _UINT64_MAX)


# Every field has a length, and most lengths and numbers are small.
_LOOKED_UP_BITS = 14
_LOOKED_UP = 1 << _LOOKED_UP_BITS
# The lower part of a larger number, to be followed by the rest of it.
_LOWER_PARTS = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(_LOOKED_UP)]
_LOWER_PART = _LOOKED_UP - 1
_UINT64_MAX = 2**64 - 1
# Looked up in a third of the time of `VARINTS`.
SMALL_VARINTS = [_varint(value) for value in range(_LOOKED_UP)]
VARINTS = _Varints(enumerate(SMALL_VARINTS))


def number_tag(number: int) -> bytes:
    """Returns the tag of an integer, boolean or enum field."""
    return _varint(number << 3 | _VARINT)


def bytes_tag(number: int) -> bytes:
    """Returns the tag of a string, bytes or message field."""
    return _varint(number << 3 | _LENGTH_DELIMITED)


def field(tag: bytes, data: bytes) -> bytes:
    """Returns a string, bytes or message field."""
    return b"".join((tag, VARINTS[len(data)], data))


def packed(numbers: Iterable[int]) -> bytes:
    """Returns what a field of many numbers holds."""
    return b"".join([VARINTS[number] for number in numbers])


def serializer(message_type: type[Message]) -> Callable[[Any], bytes]:
    """Returns what writes messages of a type, equal ones to equal bytes (G10)."""
    serialize: Callable[..., bytes] = message_type.SerializeToString
    if holds_map(message_type.DESCRIPTOR):
        return partial(serialize, deterministic=True)
    # Without maps the bytes are deterministic anyway, and this is twice as quick.
    return serialize


def holds_map(descriptor: Any) -> bool:
    """Says whether messages of a type hold a map, at whatever depth."""
    return _holds_map(descriptor, set())


def _holds_map(descriptor: Descriptor, seen: set[str]) -> bool:
    # A message may hold others of its own type.
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(
        is_map(field) or (field.message_type is not None and _holds_map(field.message_type, seen))
        for field in descriptor.fields
    )


def is_map(field: FieldDescriptor) -> bool:
    """Says whether a field is a map."""
    entry: Descriptor | None = field.message_type
    return entry is not None and bool(entry.GetOptions().map_entry)
