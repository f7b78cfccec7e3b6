"""Damages bytes in the ways in which bytes of protobuf go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from gapless_server.core.wire import bytes_tag, field

_LARGEST_VARINT: Final = b"\xff" * 9 + b"\x01"
_NOT_UTF_8: Final = (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80")
_DEPTH: Final = 120


def varint(value: int) -> bytes:
    """Returns a number as a varint."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


class Damager:
    """Damages bytes; `others` are bytes of the same kind, to take parts from."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ways: tuple[Callable[[bytes, bytes], bytes], ...] = (
            self._flip,
            self._truncate,
            self._splice,
            self._wire_type,
            self._huge_length,
            self._not_utf_8,
            self._extreme_number,
            self._unknown_field,
            self._nest,
            self._repeat,
        )

    def damage(self, data: bytes, other: bytes) -> bytes:
        """Returns bytes with one damage, or a few."""
        for _ in range(self._chance.choice((1, 1, 1, 2, 4))):
            data = self._chance.choice(self._ways)(data, other)
        return data

    def _at(self, data: bytes) -> int:
        return self._chance.randrange(len(data) + 1)

    def _flip(self, data: bytes, _other: bytes) -> bytes:
        if not data:
            return b"\x80"
        changed, at = bytearray(data), self._chance.randrange(len(data))
        changed[at] ^= 1 << self._chance.randrange(8)
        return bytes(changed)

    def _truncate(self, data: bytes, _other: bytes) -> bytes:
        return data[: self._at(data)]

    def _splice(self, data: bytes, other: bytes) -> bytes:
        return data[: self._at(data)] + other[self._at(other) :]

    def _wire_type(self, data: bytes, _other: bytes) -> bytes:
        if not data:
            return b"\x07"
        return bytes((data[0] & ~7 | self._chance.randrange(8),)) + data[1:]

    def _huge_length(self, data: bytes, _other: bytes) -> bytes:
        length = varint(self._chance.choice((len(data) + 1, 2**31 - 1, 2**32, 2**63)))
        return data[: self._at(data)] + bytes_tag(self._chance.randrange(1, 60)) + length + data

    def _not_utf_8(self, data: bytes, _other: bytes) -> bytes:
        at, bad = self._at(data), self._chance.choice(_NOT_UTF_8)
        return data[:at] + bad + data[at + len(bad) :]

    def _extreme_number(self, data: bytes, _other: bytes) -> bytes:
        return data + varint(self._chance.randrange(1, 60) << 3) + _LARGEST_VARINT

    def _unknown_field(self, data: bytes, other: bytes) -> bytes:
        return data + field(bytes_tag(self._chance.choice((250, 9999, 2**29 - 1))), other)

    def _nest(self, data: bytes, _other: bytes) -> bytes:
        tag = bytes_tag(self._chance.randrange(1, 60))
        for _ in range(_DEPTH):
            data = field(tag, data)
        return data

    def _repeat(self, data: bytes, _other: bytes) -> bytes:
        return data * self._chance.choice((2, 3))
