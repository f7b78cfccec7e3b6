"""Keys as bytes, in an order that is the order of the keys.

Rows that are kept outside of memory lie under these bytes, so that a range of keys is a range of
bytes. A key is a string, an integer from -2^64 to 2^64, or a tuple of keys; keys that are compared
have the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import repeat
from struct import Struct
from typing import Any

from gapless_server.compiled import AVAILABLE

Key = str | int | tuple["Key", ...]

_TUPLE, _STRING, _INTEGER = b"\x01", b"\x02", b"\x03"
# Ends a string and a tuple: smaller than anything that could follow in a longer one.
_END = b"\x00"
# The same as numbers, which are compared in half the time.
_TUPLE_BYTE, _STRING_BYTE, _INTEGER_BYTE, _END_BYTE = _TUPLE[0], _STRING[0], _INTEGER[0], _END[0]
# A NUL within a string, told apart from its end.
_ESCAPED_NUL = b"\x00\xff"
_ESCAPE_BYTE = _ESCAPED_NUL[1]
# Comes after the bytes of every key.
AFTER_ALL_KEYS = b"\xff"
_INTEGER_BYTES = 9
_INTEGER_OFFSET = 1 << 64
# An integer from 0 to 2^64 - 1: the offset is a byte of its own then.
_NATURAL_START = _INTEGER + b"\x01"
_NATURAL_END = 1 << 64
# So many keys are worth a look at what they have in common.
_MANY_KEYS = 4


def _encode_key(key: Key) -> bytes:
    """Returns the bytes of a key. Longer strings and tuples come after their beginnings."""
    if isinstance(key, str):
        return _STRING + key.encode().replace(_END, _ESCAPED_NUL) + _END
    if isinstance(key, int):
        return _INTEGER + (key + _INTEGER_OFFSET).to_bytes(_INTEGER_BYTES, "big")
    return _TUPLE + b"".join(map(_encode_key, key)) + _END


def _encode_keys(prefix: bytes, keys: Collection[Any]) -> list[bytes]:
    """Returns the prefix and the bytes of a key, for each: as `_encode_key` does, but quicker.

    A checkpoint has thousands of keys that are all strings, or all integers.
    """
    if len(keys) >= _MANY_KEYS:
        types = set(map(type, keys))
        if types == {str} and _END.decode() not in "".join(keys):
            start, end = (prefix + _STRING), _END
            return [start + key.encode() + end for key in keys]
        if types == {int} and min(keys) >= 0 and max(keys) < _NATURAL_END:
            start = prefix + _NATURAL_START
            return list(map(Struct(f">{len(start)}sQ").pack, repeat(start), keys))
    return [prefix + _encode_key(key) for key in keys]


# Both forms do the same.
encode_key: Callable[[Any], bytes] = _encode_key
encode_keys: Callable[[bytes, Collection[Any]], list[bytes]] = _encode_keys
if AVAILABLE:
    from gapless_server.compiled import rows

    encode_key, encode_keys = rows.encode_key, rows.encode_keys


def decode_key(data: bytes) -> Key:
    """Returns the key of `encode_key`'s bytes. Raises ValueError for other bytes."""
    key, end = _first_key(data)
    if end != len(data):
        raise ValueError(f"key {data.hex()} does not end at its last byte but at byte {end}")
    return key


def split_keys(data: bytes) -> tuple[Key, Key]:
    """Returns the two keys whose bytes stand one after the other."""
    first, end = _first_key(data)
    return first, decode_key(data[end:])


def _first_key(data: bytes) -> tuple[Key, int]:
    try:
        return _decode(data, 0)
    except IndexError:
        raise ValueError(f"key {data.hex()} breaks off") from None


def _decode(data: bytes, start: int) -> tuple[Key, int]:
    tag, offset = data[start], start + 1
    if tag == _STRING_BYTE:
        return _decode_string(data, offset)
    if tag == _INTEGER_BYTE:
        end = offset + _INTEGER_BYTES
        return int.from_bytes(data[offset:end], "big") - _INTEGER_OFFSET, end
    if tag != _TUPLE_BYTE:
        raise ValueError(f"key {data.hex()} has an unknown tag at byte {start}")
    parts: list[Key] = []
    while (tag := data[offset]) != _END_BYTE:
        # A string without NUL right here, as lists of thousands are read: nearly every one.
        if tag == _STRING_BYTE:
            end = data.index(_END_BYTE, offset)
            if data[end + 1] != _ESCAPE_BYTE:
                parts.append(data[offset + 1 : end].decode())
                offset = end + 1
                continue
        part, offset = _decode(data, offset)
        parts.append(part)
    return tuple(parts), offset + 1


def _decode_string(data: bytes, start: int) -> tuple[str, int]:
    end = data.index(_END_BYTE, start)
    while data[end : end + 2] == _ESCAPED_NUL:
        end = data.index(_END_BYTE, end + 2)
    return data[start:end].replace(_ESCAPED_NUL, _END).decode(), end + 1
